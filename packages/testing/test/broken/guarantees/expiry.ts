import { toText } from '@stowage/core/driver'
import {
  type BrokenStores,
  coarseTtls,
  remainingTtl,
  restoreExpired,
  withIncrement,
  withScan,
  withTtls,
} from '../mutation.ts'

const day = 86_400_000

export const expiry: BrokenStores = {
  'get returns expired items': [
    'expiry',
    (store) => ({ get: (key) => store.items.get(key)?.bytes }),
  ],
  'getMany returns expired items': [
    'expiry',
    (store) => ({ getMany: (keys) => keys.map((key) => store.items.get(key)?.bytes) }),
  ],
  'getWithTtl returns expired items': [
    'expiry',
    (store) => ({
      getWithTtl: (keys) =>
        keys.map((key) => {
          const item = store.items.get(key)
          return item && { item: item.bytes, ttl: remainingTtl(store, key) }
        }),
    }),
  ],
  'getWithTtl returns the whole ttl': [
    'expiry',
    (store) => {
      const ttls = new Map<string, number | undefined>()
      return {
        set: (key, payload, ttl) => {
          ttls.set(key, ttl)
          store.set(key, payload, ttl)
        },
        touch: (key, ttl) => {
          ttls.set(key, ttl)
          return store.touch(key, ttl)
        },
        getWithTtl: (keys) =>
          store.getWithTtl(keys).map((found, index) => {
            return found && { ...found, ttl: ttls.get(keys[index] ?? '') }
          }),
      }
    },
  ],
  'getWithTtl returns a ttl of 1 for a value that is replaced meanwhile': [
    'expiry',
    (store) => ({
      getWithTtl: async (keys) => {
        const found = store.getWithTtl(keys)
        const before = keys.map((key) => store.items.get(key))
        await Promise.resolve()
        const isReplaced = keys.map((key, index) => store.items.get(key) !== before[index])
        return found.map(
          (each, index) => each && { ...each, ttl: isReplaced[index] ? 1 : each.ttl },
        )
      },
    }),
  ],
  'getWithTtl returns seconds': [
    'expiry',
    (store) => ({
      getWithTtl: (keys) =>
        store
          .getWithTtl(keys)
          .map((found) => found && { ...found, ttl: found.ttl && Math.ceil(found.ttl / 1_000) }),
    }),
  ],
  'getWithTtl returns no ttl for items without expiry': [
    'expiry',
    (store) => ({
      getWithTtl: (keys) =>
        store
          .getWithTtl(keys)
          .map(
            (found) => found && { ...found, ttl: found.ttl === Infinity ? undefined : found.ttl },
          ),
    }),
  ],
  'getWithTtl omits missing keys': [
    'expiry',
    (store) => ({
      getWithTtl: (keys) => store.getWithTtl(keys).filter((found) => found !== undefined),
    }),
  ],
  'add does not replace expired items': [
    'expiry',
    (store) => ({
      add: (key, payload, ttl) => !store.items.has(key) && store.add(key, payload, ttl),
    }),
  ],
  'compareAndSet matches expired items': [
    'expiry',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        restoreExpired(store, key)
        return store.compareAndSet(key, expected, next, ttl)
      },
    }),
  ],
  'increment adds to expired counters': [
    'expiry',
    withIncrement((store, key, by, ttl) => {
      restoreExpired(store, key, ttl)
      return store.increment(key, by, ttl)
    }),
  ],
  'touch restores expired items': [
    'expiry',
    (store) => ({
      touch: (key, ttl) => {
        restoreExpired(store, key, ttl)
        return store.touch(key, ttl)
      },
    }),
  ],
  'delete counts expired items': [
    'expiry',
    (store) => ({ delete: (key) => store.items.delete(key) }),
  ],
  'deleteMany counts expired items': [
    'expiry',
    (store) => ({ deleteMany: (keys) => keys.filter((key) => store.items.delete(key)).length }),
  ],
  'scan lists expired items': [
    'expiry',
    withScan(async function* ({ items }, prefix) {
      yield [...items.keys()].filter((key) => key.startsWith(prefix))
    }),
  ],
  'add prolongs an existing item': [
    'expiry',
    (store) => ({
      add: (key, payload, ttl) => {
        const added = store.add(key, payload, ttl)
        if (!added && ttl !== undefined) store.touch(key, ttl)
        return added
      },
    }),
  ],
  'add without a ttl removes the ttl of an existing item': [
    'expiry',
    (store) => ({
      add: (key, payload, ttl) => {
        const added = store.add(key, payload, ttl)
        if (!added && ttl === undefined) store.touch(key)
        return added
      },
    }),
  ],
  'compareAndSet of another item sets its ttl': [
    'expiry',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) => {
        const replaced = store.compareAndSet(key, expected, next, ttl)
        if (!replaced && ttl !== undefined) store.touch(key, ttl)
        return replaced
      },
    }),
  ],
  'touch creates an item': [
    'expiry',
    (store) => ({
      touch: (key, ttl) => {
        const touched = store.touch(key, ttl)
        if (!touched) store.set(key, '', ttl)
        return touched
      },
    }),
  ],
  'touch does not move the expiry': [
    'expiry',
    (store) => ({ touch: (key) => store.get(key) !== undefined }),
  ],
  'touch never moves the expiry to an earlier time': [
    'expiry',
    (store) => ({
      touch: (key, ttl) =>
        (remainingTtl(store, key) ?? Infinity) > (ttl ?? Infinity)
          ? store.items.has(key)
          : store.touch(key, ttl),
    }),
  ],
  'touch without a ttl keeps the expiry': [
    'expiry',
    (store) => ({ touch: (key, ttl) => store.touch(key, ttl ?? remainingTtl(store, key)) }),
  ],
  'touch rewrites the item as Latin-1 text': [
    'expiry',
    (store) => ({
      touch: (key, ttl) => {
        const payload = store.get(key)
        if (payload !== undefined) store.set(key, Buffer.from(toText(payload), 'latin1'), ttl)
        return payload !== undefined
      },
    }),
  ],
  'set without a ttl keeps the earlier ttl': [
    'expiry',
    (store) => ({
      set: (key, payload, ttl) => store.set(key, payload, ttl ?? remainingTtl(store, key)),
    }),
  ],
  'setMany without a ttl keeps the earlier ttl': [
    'expiry',
    (store) => ({
      setMany: (entries, ttl) => {
        for (const [key, payload] of entries) {
          store.set(key, payload, ttl ?? remainingTtl(store, key))
        }
      },
    }),
  ],
  'setMany ignores the ttl': [
    'expiry',
    (store) => ({ setMany: (entries) => store.setMany(entries) }),
  ],
  'add ignores the ttl': [
    'expiry',
    (store) => ({ add: (key, payload) => store.add(key, payload) }),
  ],
  'compareAndSet ignores the ttl': [
    'expiry',
    (store) => ({
      compareAndSet: (key, expected, next) => store.compareAndSet(key, expected, next),
    }),
  ],
  'compareAndSet without a ttl keeps the earlier ttl': [
    'expiry',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        store.compareAndSet(key, expected, next, ttl ?? remainingTtl(store, key)),
    }),
  ],
  'ttls are rounded down': [
    'expiry',
    withTtls((ttl) => ttl && Math.max(1_000, Math.floor(ttl / 1_000) * 1_000)),
    coarseTtls,
  ],
  'ttls are rounded down to a tenth of a second': [
    'expiry',
    withTtls((ttl) => ttl && Math.max(1, Math.floor(ttl / 100) * 100)),
  ],
  'ttls are rounded to seconds, although the declared step is finer': [
    'expiry',
    withTtls((ttl) => ttl && Math.ceil(ttl / 1_000) * 1_000),
  ],
  'ttls are not rounded up to the declared step': [
    'expiry',
    () => ({ limits: { keyBytes: Infinity, valueBytes: Infinity, ttlStep: 1_000 } }),
  ],
  'items outlive their ttl by two steps': [
    'expiry',
    withTtls((ttl) => ttl && ttl + 2_000),
    coarseTtls,
  ],
  'ttls are a millisecond too short': ['expiry', withTtls((ttl) => ttl && ttl - 1)],
  'ttls are a millisecond too long': ['expiry', withTtls((ttl) => ttl && ttl + 1)],
  'ttls beyond 30 days expire immediately': [
    'expiry',
    withTtls((ttl) => (ttl !== undefined && ttl > 30 * day ? 0 : ttl)),
  ],
  'ttls beyond 30 days never expire': [
    'expiry',
    withTtls((ttl) => (ttl !== undefined && ttl > 30 * day ? undefined : ttl)),
  ],
  'items without a ttl expire after a day': ['expiry', withTtls((ttl) => ttl ?? day)],
}
