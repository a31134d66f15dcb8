import type { Payload } from '@stowage/core'
import { samePayload, toBytes, toText } from '@stowage/core/driver'
import { type BrokenStores, nextTurn, withComparison } from '../mutation.ts'

/** Compares the first bytes and the length. */
const withShortComparison = (bytes: number) =>
  withComparison((stored, expected) => {
    const [a, b] = [toBytes(stored), toBytes(expected)]
    return a.length === b.length && a.subarray(0, bytes).equals(b.subarray(0, bytes))
  })

const normalized = (payload: Payload) => toText(payload).normalize()

export const atomicity: BrokenStores = {
  'add is not atomic': [
    'atomic',
    (store) => ({
      add: async (key, payload, ttl) => {
        const isMissing = store.get(key) === undefined
        await nextTurn()
        if (isMissing) store.set(key, payload, ttl)
        return isMissing
      },
    }),
  ],
  'add replaces an existing item': [
    'atomic',
    (store) => ({
      add: (key, payload, ttl) => {
        const added = store.add(key, payload, ttl)
        store.set(key, payload, ttl)
        return added
      },
    }),
  ],
  'add always returns true': [
    'atomic',
    (store) => ({ add: (key, payload, ttl) => store.add(key, payload, ttl) || true }),
  ],
  'compareAndSet ignores the expected item': [
    'atomic',
    (store) => ({
      compareAndSet: (key, _expected, next, ttl) =>
        store.compareAndSet(key, store.get(key) ?? '', next, ttl),
    }),
  ],
  'compareAndSet compares numbers': [
    'atomic',
    withComparison((stored, expected) => Number(toText(stored)) === Number(toText(expected))),
  ],
  'compareAndSet compares decoded text': [
    'atomic',
    withComparison((stored, expected) => toText(stored) === toText(expected)),
  ],
  'compareAndSet compares normalized text': [
    'atomic',
    withComparison((stored, expected) => normalized(stored) === normalized(expected)),
  ],
  'compareAndSet compares the first 64 bytes': ['atomic', withShortComparison(64)],
  'compareAndSet compares the first 4096 bytes': ['atomic', withShortComparison(4_096)],
  'compareAndSet compares the first 65536 bytes': ['atomic', withShortComparison(65_536)],
  'compareAndSet accepts the beginning of a long item': [
    'atomic',
    withComparison((stored, expected) => {
      const [a, b] = [toBytes(stored), toBytes(expected)]
      return b.length > 1_000 ? a.subarray(0, b.length).equals(b) : a.equals(b)
    }),
  ],
  'compareAndSet never matches bytes': [
    'atomic',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        typeof expected === 'string' && store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'compareAndSet creates missing items': [
    'atomic',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        (next !== undefined && store.add(key, next, ttl)) ||
        store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'compareAndSet to undefined stores an empty item': [
    'atomic',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next ?? '', ttl),
    }),
  ],
  'compareAndSet is not atomic': [
    'atomic',
    (store) => ({
      compareAndSet: async (key, expected, next, ttl) => {
        const stored = store.get(key)
        if (stored === undefined || !samePayload(stored, expected)) return false
        await nextTurn()
        if (next === undefined) store.delete(key)
        else store.set(key, next, ttl)
        return true
      },
    }),
  ],
  'delete is not atomic': [
    'atomic',
    (store) => ({
      delete: async (key) => {
        const existed = store.get(key) !== undefined
        await nextTurn()
        store.delete(key)
        return existed
      },
    }),
  ],
  'compareAndSet never succeeds': ['atomic', () => ({ compareAndSet: () => false })],
}
