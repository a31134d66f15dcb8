import type { Payload } from '@stowage/core'
import { toText } from '@stowage/core/driver'
import { type BrokenStores, remainingTtl, withHits } from '../mutation.ts'

function isChange(payload: Payload | undefined): boolean {
  return payload !== undefined && toText(payload).startsWith('\x01\x02C')
}

export const changes: BrokenStores = {
  'compareAndSet replaces any mark of a change': [
    'changes',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const stored = isChange(expected) ? store.get(key) : undefined
        return store.compareAndSet(key, stored ?? expected, next, ttl)
      },
    }),
  ],
  'compareAndSet does not store the mark of a change': [
    'changes',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        isChange(next) ? true : store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'compareAndSet never replaces a lease by another mark': [
    'changes',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        isChange(next) && toText(expected).startsWith('\x01\x02L')
          ? true
          : store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'add does not store the mark of a change': [
    'changes',
    (store) => ({
      add: (key, payload, ttl) => isChange(payload) || store.add(key, payload, ttl),
    }),
  ],
  'add replaces the mark of a change': [
    'changes',
    (store) => ({
      add: (key, payload, ttl) => {
        if (isChange(store.get(key)) && !isChange(payload)) store.delete(key)
        return store.add(key, payload, ttl)
      },
    }),
  ],
  'compareAndSet reports the removal of a mark that it keeps': [
    'changes',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        (isChange(expected) && !isChange(next)) || store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'compareAndSet reports the removal of a mark that was lost': [
    'changes',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next, ttl) || (isChange(expected) && next === undefined),
    }),
  ],
  'getMany reads the mark of a change as text': [
    'changes',
    (store) => ({
      getMany: (keys) => store.getMany(keys).map((found) => (isChange(found) ? '"mark"' : found)),
    }),
  ],
  'get reads the mark of a change as text': [
    'changes',
    withHits((found) => (isChange(found) ? '"mark"' : found)),
  ],
  'get finds no mark of a change': [
    'changes',
    (store) => ({
      get: (key) => (isChange(store.get(key)) ? undefined : store.get(key)),
    }),
  ],
  'add of a mark ignores the ttl': [
    'changes',
    (store) => ({
      add: (key, payload, ttl) => store.add(key, payload, isChange(payload) ? undefined : ttl),
    }),
  ],
  'compareAndSet with a mark ignores the ttl': [
    'changes',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next, isChange(next) ? undefined : ttl),
    }),
  ],
  'compareAndSet keeps the expiry of a mark': [
    'changes',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const remaining =
          isChange(expected) && isChange(next) ? remainingTtl(store, key) : undefined
        return store.compareAndSet(key, expected, next, remaining ?? ttl)
      },
    }),
  ],
  'touch never finds the mark of a change': [
    'changes',
    (store) => ({
      touch: (key, ttl) => !isChange(store.get(key)) && store.touch(key, ttl),
    }),
  ],
}
