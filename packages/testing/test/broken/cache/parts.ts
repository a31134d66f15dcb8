import type { Payload } from '@stowage/core'
import { type BrokenStores, smallValues, withHits } from '../mutation.ts'

/** Whether the key is that of a part, which ends with an id. */
const isPart = (key: string) => /:body:[\w-]{8}$/.test(key)

export const parts: BrokenStores = {
  'set does not store bytes': [
    'parts',
    withHits((found) => (found === undefined ? found : Buffer.from(found.toString()))),
  ],
  'items are stored under the end of a key': [
    'parts',
    (store) => {
      const short = (key: string) => (isPart(key) ? 'body' : key)
      return {
        get: (key) => store.get(short(key)),
        set: (key, payload, ttl) => store.set(short(key), payload, ttl),
      }
    },
  ],
  'items expire after a millisecond if a compareAndSet follows': [
    'parts',
    (store) => ({
      set: (key, payload, ttl) => store.set(key, payload, isPart(key) ? 1 : ttl),
    }),
  ],
  'touch returns true for a missing item': [
    'parts',
    (store) => ({ touch: (key, ttl) => store.touch(key, ttl) || isPart(key) }),
  ],
  'touch deletes an item': [
    'parts',
    (store) => ({ touch: (key) => isPart(key) && store.delete(key) }),
  ],
  'compareAndSet ignores a delete': [
    'parts',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        if (store.get(key) === undefined && next !== undefined) store.set(key, expected)
        return store.compareAndSet(key, expected, next, ttl)
      },
    }),
  ],
  'clear leaves some items': [
    'parts',
    (store) => ({
      delete: (key) => !isPart(key) && store.delete(key),
      deleteMany: (keys: readonly string[]) => store.deleteMany(keys.filter((key) => !isPart(key))),
    }),
  ],
  'items that are too large are dropped without an error': [
    'parts',
    (store) => ({
      set: (key: string, payload: Payload, ttl) => {
        if (payload.length <= store.limits.valueBytes) store.set(key, payload, ttl)
      },
    }),
    smallValues,
  ],
  'a refreshed item is deleted with its parts': [
    'parts',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const isReplaced = store.compareAndSet(key, expected, next, ttl)
        if (!isReplaced || next === undefined) return isReplaced
        const [old] = /k:body:[\w-]{8}/.exec(expected.toString()) ?? []
        for (const each of store.items.keys()) {
          if (old !== undefined && !String(next).includes(old) && each.endsWith(old))
            store.delete(each)
        }
        return true
      },
    }),
  ],
}
