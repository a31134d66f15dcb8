import type { Payload } from '@stowage/core'
import { samePayload, toText } from '@stowage/core/driver'
import { type BrokenStores, nextTurn, withComparison } from './mutation.ts'

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
