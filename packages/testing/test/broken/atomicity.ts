import type { Payload } from '@stowage/core'
import { samePayload, toText } from '@stowage/core/driver'
import { type Row, turn } from './mutation.ts'

export const atomicity: Record<string, Row> = {
  'add is not atomic': [
    'atomic',
    (s) => ({
      add: async (key, item, ttl) => {
        const free = s.get(key) === undefined
        await turn()
        if (free) s.set(key, item, ttl)
        return free
      },
    }),
  ],
  'add overwrites': [
    'atomic',
    (s) => ({
      add: (key, item, ttl) => [s.add(key, item, ttl), s.set(key, item, ttl)][0] as boolean,
    }),
  ],
  'add always says true': [
    'atomic',
    (s) => ({ add: (key, item, ttl) => s.add(key, item, ttl) || true }),
  ],
  'compareAndSet ignores what is expected': [
    'atomic',
    (s) => ({
      compareAndSet: (key, _expected, next, ttl) =>
        s.compareAndSet(key, s.get(key) ?? '', next, ttl),
    }),
  ],
  'compareAndSet compares as numbers': [
    'atomic',
    (s) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const stored = s.get(key)
        const equal = stored !== undefined && Number(toText(stored)) === Number(toText(expected))
        return s.compareAndSet(key, equal ? stored : expected, next, ttl)
      },
    }),
  ],
  'compareAndSet compares decoded text': [
    'atomic',
    (s) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const stored = s.get(key)
        const equal = stored !== undefined && toText(stored) === toText(expected)
        return s.compareAndSet(key, equal ? stored : expected, next, ttl)
      },
    }),
  ],
  'compareAndSet compares normalized text': [
    'atomic',
    (s) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const stored = s.get(key)
        const form = (item: Payload) => toText(item).normalize()
        const equal = stored !== undefined && form(stored) === form(expected)
        return s.compareAndSet(key, equal ? stored : expected, next, ttl)
      },
    }),
  ],
  'compareAndSet refuses the other form': [
    'atomic',
    (s) => ({
      compareAndSet: (key, expected, next, ttl) =>
        typeof expected === 'string' && s.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'compareAndSet creates': [
    'atomic',
    (s) => ({
      compareAndSet: (key, expected, next, ttl) =>
        (next !== undefined && s.add(key, next, ttl)) || s.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'compareAndSet stores an empty item instead of deleting': [
    'atomic',
    (s) => ({
      compareAndSet: (key, expected, next, ttl) => s.compareAndSet(key, expected, next ?? '', ttl),
    }),
  ],
  'compareAndSet is not atomic': [
    'atomic',
    (s) => ({
      compareAndSet: async (key, expected, next, ttl) => {
        const stored = s.get(key)
        if (stored === undefined || !samePayload(stored, expected)) return false
        await turn()
        if (next === undefined) s.delete(key)
        else s.set(key, next, ttl)
        return true
      },
    }),
  ],
  'delete is not atomic': [
    'atomic',
    (s) => ({
      delete: async (key) => {
        const was = s.get(key) !== undefined
        await turn()
        s.delete(key)
        return was
      },
    }),
  ],
  'compareAndSet never succeeds': ['atomic', () => ({ compareAndSet: () => false })],
}
