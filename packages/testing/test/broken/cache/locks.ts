import { CacheError, type Payload } from '@stowage/core'
import { samePayload, toText } from '@stowage/core/driver'
import { type BrokenStores, nextTurn, remainingTtl } from '../mutation.ts'

/** Whether the key is one of a lock, or of a slot of a concurrency limit. */
function isLock(key: string): boolean {
  return key.includes('~lock:') || key.includes(':c:')
}

function isFence(key: string): boolean {
  return key.includes('~fence:')
}

function isLimit(key: string): boolean {
  return key.includes('~limit:')
}

export const locks: BrokenStores = {
  'add stores a lock over a lock': [
    'locks',
    (store) => ({
      add: (key, payload, ttl) => {
        if (isLock(key)) store.delete(key)
        return store.add(key, payload, ttl)
      },
    }),
  ],
  'add is not atomic for locks': [
    'locks',
    (store) => ({
      add: async (key, payload, ttl) => {
        const isMissing = store.get(key) === undefined
        if (isLock(key)) await nextTurn()
        if (isMissing) store.set(key, payload, ttl)
        return isMissing
      },
    }),
  ],
  'add of a lock ignores the ttl': [
    'locks',
    (store) => ({
      add: (key, payload, ttl) => store.add(key, payload, isLock(key) ? undefined : ttl),
    }),
  ],
  'add refuses a lock that was released': [
    'locks',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next ?? 'released', ttl),
    }),
  ],
  'compareAndSet of a lock does not compare': [
    'locks',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, (isLock(key) && store.get(key)) || expected, next, ttl),
    }),
  ],
  'compareAndSet of a lock creates it': [
    'locks',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next, ttl) ||
        (isLock(key) && next !== undefined && store.add(key, next, ttl)),
    }),
  ],
  'compareAndSet refuses to replace an item by itself': [
    'locks',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        !(next !== undefined && samePayload(expected, next)) &&
        store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'compareAndSet keeps the expiry of an item that it replaces by itself': [
    'locks',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const isSame = next !== undefined && samePayload(expected, next)
        const remaining = isSame ? remainingTtl(store, key) : undefined
        return store.compareAndSet(key, expected, next, remaining ?? ttl)
      },
    }),
  ],
  'compareAndSet keeps an expiry that is later': [
    'locks',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const remaining = remainingTtl(store, key) ?? 0
        return store.compareAndSet(key, expected, next, ttl && Math.max(ttl, remaining))
      },
    }),
  ],
  'a lock that was released is still read': [
    'locks',
    (store) => {
      const seen = new Map<string, Payload>()
      return {
        get: (key) => {
          const found = store.get(key)
          if (isLock(key) && found !== undefined) seen.set(key, found)
          return isLock(key) ? seen.get(key) : found
        },
      }
    },
  ],
  'payloads lose what follows a dot': [
    'locks',
    (store) => ({
      get: (key) => {
        const found = store.get(key)
        return isLock(key) && found !== undefined ? toText(found).replace(/\..*/, '') : found
      },
    }),
  ],
  'an increment after the loss of a counter fails': [
    'locks',
    (store) => ({
      increment: (key, by, ttl) => {
        if (isFence(key)) throw new CacheError('ERR_CACHE_REJECTED', 'no counter')
        return store.increment(key, by, ttl)
      },
    }),
  ],
  'compareAndSet does not replace a counter that follows the time': [
    'locks',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        !(isFence(key) && Number(toText(expected)) > 2 ** 50) &&
        store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'increments return the same number': [
    'locks',
    (store) => ({
      increment: (key, by, ttl) =>
        // Ahead of the time: a lower number would be raised to it.
        isFence(key) ? 2 ** 52 : store.increment(key, by, ttl),
    }),
  ],
  'deletes reach what begins like a key': [
    'locks',
    (store) => ({
      deleteMany: (keys) => {
        for (const key of store.items.keys()) if (isLock(key)) store.delete(key)
        return store.deleteMany(keys)
      },
    }),
  ],
  'keys after the first colon of a lock are ignored': [
    'locks',
    (store) => ({
      add: (key, payload, ttl) => store.add(key.replace('n%3Ax', 'n:x'), payload, ttl),
    }),
  ],
}

export const rateLimits: BrokenStores = {
  'of a limit, increment is not atomic': [
    'rate limits',
    (store) => ({
      increment: async (key, by, ttl) => {
        const count = Number(toText(store.get(key) ?? '0')) + by
        await nextTurn()
        store.set(key, String(count), ttl)
        return count
      },
    }),
  ],
  'of a limit, increment returns the sum before': [
    'rate limits',
    (store) => ({ increment: (key, by, ttl) => store.increment(key, by, ttl) - by }),
  ],
  'of a limit, increment ignores the sum': [
    'rate limits',
    (store) => ({ increment: (key, _by, ttl) => store.increment(key, 1, ttl) }),
  ],
  'compareAndSet of a limit does not compare': [
    'rate limits',
    (store) => ({
      compareAndSet: async (key, expected, next, ttl) => {
        await nextTurn()
        return store.compareAndSet(key, (isLimit(key) && store.get(key)) || expected, next, ttl)
      },
      get: async (key) => {
        const found = store.get(key)
        await nextTurn()
        return found
      },
    }),
  ],
  'of a limit, compareAndSet never replaces a counter': [
    'rate limits',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        !isLimit(key) && store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'add stores a slot over a slot': [
    'rate limits',
    (store) => ({
      add: (key, payload, ttl) => {
        if (isLock(key)) store.delete(key)
        return store.add(key, payload, ttl)
      },
    }),
  ],
  'add of a slot ignores the ttl': [
    'rate limits',
    (store) => ({
      add: (key, payload, ttl) => store.add(key, payload, isLock(key) ? undefined : ttl),
    }),
  ],
  'of a limit, getMany returns nothing for a slot': [
    'rate limits',
    (store) => ({
      getMany: (keys) =>
        store.getMany(keys).map((found, at) => (isLock(keys[at] ?? '') ? 'x' : found)),
    }),
  ],
  'of a limit, counters are not deleted': [
    'rate limits',
    (store) => ({
      delete: (key) => !isLimit(key) && store.delete(key),
      deleteMany: (keys) => store.deleteMany(keys.filter((key) => !isLimit(key))),
    }),
  ],
  'deletes reach the counters of limits': [
    'rate limits',
    (store) => ({
      deleteMany: (keys) => {
        for (const key of store.items.keys()) if (isLimit(key)) store.delete(key)
        return store.deleteMany(keys)
      },
    }),
  ],
  'of a limit, counters expire at once': [
    'rate limits',
    (store) => ({
      increment: (key, by, ttl) => store.increment(key, by, isLimit(key) ? 1 : ttl),
      add: (key, payload, ttl) => store.add(key, payload, isLimit(key) ? 1 : ttl),
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next, isLimit(key) ? 1 : ttl),
    }),
  ],
  'of a limit, all windows share a counter': [
    'rate limits',
    (store) => ({
      increment: (key, by) => store.increment(key.replace(/:[^:]+(?=:[^:]+$)/, ''), by),
      get: (key) => store.get(isLimit(key) ? key.replace(/:[^:]+(?=:[^:]+$)/, '') : key),
    }),
  ],
  'a failure of a limit is not published as an error of the cache': [
    'rate limits',
    (store) => {
      const fail = (): never => {
        throw new Error('failed')
      }
      return {
        increment: (key, by, ttl) =>
          key.endsWith(':y:key') ? fail() : store.increment(key, by, ttl),
      }
    },
  ],
}
