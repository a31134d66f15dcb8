import { toText } from '@stowage/core/driver'
import { type BrokenStores, fail, textOf, withReads } from '../mutation.ts'

export const readsAndWrites: BrokenStores = {
  'get returns null for a miss': ['read', withReads((found) => found ?? (null as never))],
  'get returns undefined for an empty item': [
    'read',
    withReads((found) => (found?.length ? found : undefined)),
  ],
  'getMany leaves out misses': [
    'read',
    (store) => ({
      getMany: (keys) => store.getMany(keys).filter((found) => found !== undefined),
    }),
  ],
  'getMany leaves out repeated keys': [
    'read',
    (store) => ({ getMany: (keys) => store.getMany([...new Set(keys)]) }),
  ],
  'getMany shifts the items behind a repeated key, unless a key is missing': [
    'read',
    (store) => ({
      getMany: (keys) => {
        const found = store.getMany(keys)
        if (found.includes(undefined)) return found
        const distinct = store.getMany([...new Set(keys)])
        return keys.map((_, index) => distinct[index])
      },
    }),
  ],
  'a large getMany leaves out repeated keys, unless a key is missing': [
    'batches',
    (store) => ({
      getMany: (keys) => {
        const found = store.getMany(keys)
        return keys.length > 100 && !found.includes(undefined) ? [...new Set(found)] : found
      },
    }),
  ],
  'getMany returns items in the order of sorted keys': [
    'read',
    (store) => ({ getMany: (keys) => store.getMany([...keys].sort()) }),
  ],
  'getMany sorts the array of the caller': [
    'read',
    (store) => ({
      getMany: (keys) => {
        const found = store.getMany(keys)
        ;(keys as string[]).sort().reverse()
        return found
      },
    }),
  ],
  'getMany of no keys fails': [
    'read',
    (store) => ({
      getMany: (keys) => (keys.length ? store.getMany(keys) : fail('no keys')),
    }),
  ],
  'set returns the reply of the server': [
    'write',
    (store) => ({
      set: (key, payload, ttl) => {
        store.set(key, payload, ttl)
        return 'OK' as never
      },
    }),
  ],
  'set appends to the stored item': [
    'write',
    (store) => ({
      set: (key, payload, ttl) => store.set(key, textOf(store, key, '') + toText(payload), ttl),
    }),
  ],
  'set does not replace': [
    'write',
    (store) => ({ set: (key, payload, ttl) => void store.add(key, payload, ttl) }),
  ],
  'setMany stores the first item of a repeated key': [
    'write',
    (store) => ({ setMany: (entries, ttl) => store.setMany([...entries].reverse(), ttl) }),
  ],
  'setMany stores the first entry only': [
    'write',
    (store) => ({ setMany: (entries, ttl) => store.setMany(entries.slice(0, 1), ttl) }),
  ],
  'setMany of no entries fails': [
    'write',
    (store) => ({
      setMany: (entries, ttl) =>
        entries.length ? store.setMany(entries, ttl) : fail('no entries'),
    }),
  ],
  'delete always returns true': [
    'write',
    (store) => ({ delete: (key) => store.delete(key) || true }),
  ],
  'delete always returns false': [
    'write',
    (store) => ({ delete: (key) => store.delete(key) && false }),
  ],
  'delete does not delete': [
    'write',
    (store) => ({ delete: (key) => store.get(key) !== undefined }),
  ],
  'delete returns false for an empty item': [
    'write',
    (store) => ({
      delete: (key) => {
        const isEmpty = store.get(key)?.length === 0
        return store.delete(key) && !isEmpty
      },
    }),
  ],
  'deleteMany counts missing keys': [
    'write',
    (store) => ({
      deleteMany: (keys) => {
        store.deleteMany(keys)
        return new Set(keys).size
      },
    }),
  ],
  'deleteMany counts repeated keys again': [
    'write',
    (store) => ({
      deleteMany: (keys) => {
        const existing = keys.filter((key) => store.get(key) !== undefined)
        store.deleteMany(keys)
        return existing.length
      },
    }),
  ],
}
