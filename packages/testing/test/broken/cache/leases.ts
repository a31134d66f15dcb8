import { CacheError, type Payload } from '@stowage/core'
import { toBytes, toText } from '@stowage/core/driver'
import {
  type BrokenStores,
  fail,
  nextTurn,
  refuseDeleted,
  remainingTtl,
  unlistable,
  withHits,
  withRejection,
} from '../mutation.ts'

/** Whether the payload begins with the two bytes of a lease. */
export function isMark(payload: Payload | undefined): boolean {
  const [first, second] = toBytes(payload ?? '')
  return first === 0x01 && second === 0x02
}

export const leases: BrokenStores = {
  'add stores a lease over a lease': [
    'leases',
    (store) => ({
      add: (key, payload, ttl) => {
        if (isMark(store.get(key)) && isMark(payload)) store.delete(key)
        return store.add(key, payload, ttl)
      },
    }),
  ],
  'add is not atomic for leases': [
    'leases',
    (store) => ({
      add: async (key, payload, ttl) => {
        const isMissing = store.get(key) === undefined
        if (isMark(payload)) await nextTurn()
        if (isMissing) store.set(key, payload, ttl)
        return isMissing
      },
    }),
  ],
  'add of a lease ignores the ttl': [
    'leases',
    (store) => ({
      add: (key, payload, ttl) => store.add(key, payload, isMark(payload) ? undefined : ttl),
    }),
  ],
  'add refuses a key that was deleted': ['leases', refuseDeleted],
  'compareAndSet replaces any lease, and whatever replaced one': [
    'leases',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const stored = isMark(expected) ? store.get(key) : undefined
        return store.compareAndSet(key, stored ?? expected, next, ttl)
      },
    }),
  ],
  'compareAndSet creates the item that a lease would have become': [
    'leases',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next, ttl) ||
        (isMark(expected) && next !== undefined && store.add(key, next, ttl)),
    }),
  ],
  'compareAndSet never replaces a lease by a lease': [
    'leases',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        !(isMark(expected) && isMark(next)) && store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'compareAndSet of a lease replies false, although it has replaced it': [
    'leases',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const isReplaced = store.compareAndSet(key, expected, next, ttl)
        return isReplaced && !isMark(expected)
      },
    }),
  ],
  'compareAndSet stores a lease without its ttl': [
    'leases',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next, isMark(next) ? undefined : ttl),
    }),
  ],
  'compareAndSet keeps the expiry of a lease that it renews': [
    'leases',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const remaining = isMark(next) ? remainingTtl(store, key) : undefined
        return store.compareAndSet(key, expected, next, remaining ?? ttl)
      },
    }),
  ],
  'compareAndSet keeps an expiry that is later than its own': [
    'leases',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const remaining = remainingTtl(store, key) ?? 0
        return store.compareAndSet(key, expected, next, ttl && Math.max(ttl, remaining))
      },
    }),
  ],
  'control characters are removed from items': [
    'leases',
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters in question
    withHits((found) => toText(found).replace(/[\x00-\x1f]/g, '')),
  ],
  'reads return what was deleted, until the next set': [
    'leases',
    (store) => {
      const copies = new Map<string, Payload>()
      return {
        get: (key) => {
          const found = store.get(key)
          if (found !== undefined && !copies.has(key)) copies.set(key, found)
          return copies.get(key)
        },
        set: (key, payload, ttl) => {
          copies.delete(key)
          store.set(key, payload, ttl)
        },
      }
    },
  ],
  'getMany returns the item that a lease has replaced': [
    'leases',
    (store) => ({
      getMany: (keys) => store.getMany(keys).map((found) => (isMark(found) ? '"leased"' : found)),
    }),
  ],
  'increment of a lease fails as if the backend were unreachable': [
    'leases',
    withRejection((_error, key) => {
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'increment failed', { store: 'broken', key })
    }),
  ],
  'delete does not delete a lease': [
    'leases',
    (store) => ({ delete: (key) => isMark(store.get(key)) || store.delete(key) }),
  ],
  'scan does not list leases': [
    'leases',
    (store) => ({
      scan: async function* (prefix) {
        for await (const page of store.scan?.(prefix) ?? fail('the reference store has no scan')) {
          yield page.filter((key) => !isMark(store.get(key)))
        }
      },
    }),
  ],
  'a clear is lost, because the generation cannot be replaced': [
    'leases',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        key.includes('~generation') || store.compareAndSet(key, expected, next, ttl),
      set: (key, payload, ttl) => {
        if (!key.includes('~generation')) store.set(key, payload, ttl)
      },
    }),
    unlistable,
  ],
}
