import type { Payload } from '@stowage/core'
import { samePayload } from '@stowage/core/driver'
import { type BrokenStores, nextTurn, textOf, unlistable } from '../mutation.ts'

/** Runs calls one after another, as a lock within one store does. */
function localLock() {
  let last: Promise<unknown> = Promise.resolve()
  return <T>(call: () => Promise<T>): Promise<T> => {
    const result = last.then(call)
    last = result.catch(() => {})
    return result
  }
}

export const sharing: BrokenStores = {
  'add is atomic within one store only': [
    'sharing',
    (store) => {
      const locked = localLock()
      return {
        add: (key, payload, ttl) =>
          locked(async () => {
            const isMissing = store.get(key) === undefined
            await nextTurn()
            if (isMissing) store.set(key, payload, ttl)
            return isMissing
          }),
      }
    },
  ],
  'compareAndSet is atomic within one store only': [
    'sharing',
    (store) => {
      const locked = localLock()
      return {
        compareAndSet: (key, expected, next, ttl) =>
          locked(async () => {
            const stored = store.get(key)
            if (stored === undefined || !samePayload(stored, expected)) return false
            await nextTurn()
            if (next === undefined) store.delete(key)
            else store.set(key, next, ttl)
            return true
          }),
      }
    },
  ],
  'increment is atomic within one store only': [
    'sharing',
    (store) => {
      const locked = localLock()
      return {
        increment: (key, by, ttl) =>
          locked(async () => {
            const sum = Number(textOf(store, key, '0')) + by
            await nextTurn()
            store.set(key, String(sum), ttl)
            return sum
          }),
      }
    },
  ],
  'delete is atomic within one store only': [
    'sharing',
    (store) => {
      const locked = localLock()
      return {
        delete: (key) =>
          locked(async () => {
            const existed = store.get(key) !== undefined
            await nextTurn()
            store.delete(key)
            return existed
          }),
      }
    },
  ],
  'reads return what the store itself has written last': [
    'sharing',
    (store) => {
      const written = new Map<string, Payload>()
      return {
        set: (key, payload, ttl) => {
          written.set(key, payload)
          store.set(key, payload, ttl)
        },
        get: (key) => store.get(key) && (written.get(key) ?? store.get(key)),
      }
    },
  ],
  'a store remembers the generation of a prefix': [
    'sharing',
    (store) => {
      const seen = new Map<string, Payload | undefined>()
      return {
        get: (key) => {
          if (!key.includes('~generation')) return store.get(key)
          if (seen.get(key) === undefined) seen.set(key, store.get(key))
          return seen.get(key)
        },
      }
    },
    unlistable,
  ],
  'close deletes the items of all stores': [
    'sharing',
    (store) => ({
      close: async () => {
        store.items.clear()
        await store.close()
      },
    }),
  ],
  'clear deletes only what the store itself has written': [
    'clear',
    (store) => {
      const written = new Set<string>()
      return {
        set: (key, payload, ttl) => {
          written.add(key)
          store.set(key, payload, ttl)
        },
        setMany: (entries, ttl) => {
          for (const [key] of entries) written.add(key)
          store.setMany(entries, ttl)
        },
        increment: (key, by, ttl) => {
          written.add(key)
          return store.increment(key, by, ttl)
        },
        add: (key, payload, ttl) => {
          written.add(key)
          return store.add(key, payload, ttl)
        },
        clear: () => void store.deleteMany([...written]),
      }
    },
  ],
}
