import { CacheError, type Payload } from '@stowage/core'
import type { ReferenceStore } from '@stowage/testing'
import { type BrokenStores, smallValues, withSet } from '../mutation.ts'

const limit = smallValues.limits.valueBytes

/** Stores the payload whatever its size. */
function storeUnchecked(store: ReferenceStore, key: string, payload: Payload): void {
  store.items.set(key, { bytes: Buffer.from(payload as string), expiresAt: Infinity })
}

export const limits: BrokenStores = {
  'set of a value that is too large keeps the old item': [
    'limits',
    (store) => ({
      set: (key, payload, ttl) =>
        payload.length > limit ? store.set('another key', payload) : store.set(key, payload, ttl),
    }),
    smallValues,
  ],
  'set of a value that is too large does not fail': [
    'limits',
    (store) => ({
      set: (key, payload, ttl) =>
        payload.length > limit ? void store.delete(key) : store.set(key, payload, ttl),
    }),
    smallValues,
  ],
  'add truncates a value that is too large': [
    'limits',
    (store) => ({
      add: (key, payload, ttl) => store.add(key, payload.slice(0, limit), ttl),
    }),
    smallValues,
  ],
  'compareAndSet stores a value that is too large and fails': [
    'limits',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        if (next === undefined || next.length <= limit)
          return store.compareAndSet(key, expected, next, ttl)
        storeUnchecked(store, key, next)
        throw new CacheError('ERR_CACHE_LIMIT', 'too large')
      },
    }),
    smallValues,
  ],
  'set rejects a value of exactly the limit': [
    'limits',
    withSet((payload) => (payload.length === limit ? `${payload}x` : payload)),
    smallValues,
  ],
  'the limit counts characters': [
    'limits',
    (store) => ({
      set: (key, payload, ttl) =>
        typeof payload === 'string' && payload.length <= limit
          ? storeUnchecked(store, key, payload)
          : store.set(key, payload, ttl),
    }),
    smallValues,
  ],
  'the limits are invalid': [
    'limits',
    () => ({ limits: { keyBytes: 20, valueBytes: 0, ttlStep: 0.5 } }),
  ],
}
