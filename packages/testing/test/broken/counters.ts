import { CacheError } from '@stowage/core'
import { toText } from '@stowage/core/driver'
import { now, type Row, slot, there, ttlLeft, turn } from './mutation.ts'

export const counters: Record<string, Row> = {
  'increment is not atomic': [
    'counters',
    (s) => ({
      increment: async (key, by, ttl) => {
        const before = Number(toText(s.get(key) ?? '0'))
        await turn()
        return s.increment(key, before + by - Number(toText(s.get(key) ?? '0')), ttl)
      },
    }),
  ],
  'increment clamps at zero': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) => {
        const sum = s.increment(key, by, ttl)
        return sum < 0 ? s.increment(key, -sum) : sum
      },
    }),
  ],
  'increment wraps below zero': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) => {
        const sum = s.increment(key, by, ttl)
        return sum < 0 ? sum + 2 ** 53 : sum
      },
    }),
  ],
  'increment pads a number that gets shorter': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) => {
        const before = toText(s.get(key) ?? '')
        const sum = s.increment(key, by, ttl)
        if (String(sum).length < before.length)
          s.set(key, String(sum).padEnd(before.length), ttlLeft(s, key))
        return sum
      },
    }),
  ],
  'increment starts at zero, not at the step': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) => s.increment(key, there(s, key) ? by : 0, ttl),
    }),
  ],
  'increment reads a number from the start of a text': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) => {
        const stored = Number.parseInt(toText(s.get(key) ?? 'x'), 10)
        if (!Number.isNaN(stored)) s.set(key, String(stored), ttlLeft(s, key))
        return s.increment(key, by, ttl)
      },
    }),
  ],
  'increment takes any text for zero': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) => {
        if (Number.isNaN(Number(toText(s.get(key) ?? '0')))) s.set(key, '0')
        return s.increment(key, by, ttl)
      },
    }),
  ],
  'increment passes the safe integers': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) => {
        const sum = Number(toText(s.get(key) ?? '0')) + by
        if (Number.isNaN(sum) || Number.isSafeInteger(sum)) return s.increment(key, by, ttl)
        s.set(key, String(BigInt(sum)), ttl)
        return sum
      },
    }),
  ],
  'increment destroys what it refuses': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) => {
        try {
          return s.increment(key, by, ttl)
        } catch (error) {
          s.delete(key)
          throw error
        }
      },
    }),
  ],
  'increment rejects with a plain Error': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) => {
        try {
          return s.increment(key, by, ttl)
        } catch (error) {
          throw new Error((error as Error).message)
        }
      },
    }),
  ],
  'increment rejects with another code': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) => {
        try {
          return s.increment(key, by, ttl)
        } catch {
          throw new CacheError('ERR_CACHE_UNAVAILABLE', 'no', {
            store: 'reference',
            operation: 'increment',
          })
        }
      },
    }),
  ],
  'increment resets the ttl': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) =>
        [s.increment(key, by, ttl), ttl === undefined || s.touch(key, ttl)][0] as number,
    }),
  ],
  'increment removes the ttl': [
    'counters',
    (s) => ({
      increment: (key, by, ttl) => {
        const before = slot(s, key)
        const sum = s.increment(key, by, ttl)
        if (before !== undefined && before.expiresAt > now()) s.touch(key)
        return sum
      },
    }),
  ],
  'increment loses the ttl on creation': [
    'counters',
    (s) => ({ increment: (key, by) => s.increment(key, by) }),
  ],
  'counters live apart from items': [
    'counters',
    (s) => ({ increment: (key, by, ttl) => s.increment(`#${key}`, by, ttl) }),
  ],
}
