import type { Payload } from '@stowage/core'
import { type BrokenStores, smallValues, withHits } from '../mutation.ts'

/** Whether the key is that of a companion, which ends with an id. */
const isCompanion = (key: string) => /:body:[\w-]{8}$/.test(key)

export const companions: BrokenStores = {
  'set does not store bytes': [
    'companions',
    withHits((found) => (found === undefined ? found : Buffer.from(found.toString()))),
  ],
  'items are stored under the end of a key': [
    'companions',
    (store) => {
      const short = (key: string) => (isCompanion(key) ? 'body' : key)
      return {
        get: (key) => store.get(short(key)),
        set: (key, payload, ttl) => store.set(short(key), payload, ttl),
      }
    },
  ],
  'items expire after a millisecond if a compareAndSet follows': [
    'companions',
    (store) => ({
      set: (key, payload, ttl) => store.set(key, payload, isCompanion(key) ? 1 : ttl),
    }),
  ],
  'touch returns true for a missing item': [
    'companions',
    (store) => ({ touch: (key, ttl) => store.touch(key, ttl) || isCompanion(key) }),
  ],
  'touch deletes an item': [
    'companions',
    (store) => ({ touch: (key) => isCompanion(key) && store.delete(key) }),
  ],
  'compareAndSet ignores a delete': [
    'companions',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        if (store.get(key) === undefined && next !== undefined) store.set(key, expected)
        return store.compareAndSet(key, expected, next, ttl)
      },
    }),
  ],
  'clear leaves some items': [
    'companions',
    (store) => ({
      delete: (key) => !isCompanion(key) && store.delete(key),
      deleteMany: (keys: readonly string[]) =>
        store.deleteMany(keys.filter((key) => !isCompanion(key))),
    }),
  ],
  'items that are too large are dropped without an error': [
    'companions',
    (store) => ({
      set: (key: string, payload: Payload, ttl) => {
        if (payload.length <= store.limits.valueBytes) store.set(key, payload, ttl)
      },
    }),
    smallValues,
  ],
  'a refreshed item is deleted with its companions': [
    'companions',
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
