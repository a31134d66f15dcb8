import type { Payload } from '@stowage/core'
import { type ByteStore, toText, wrapStore } from '@stowage/core/driver'
import { type BrokenStores, later } from '../mutation.ts'

const isMarkItem = (item: Payload) => toText(item).startsWith('\x01\x02')
const isText = (item: Payload | undefined) => item !== undefined && /^"/.test(toText(item))

export const order: BrokenStores = {
  'a set is overtaken by the calls after it': [
    'order',
    (store) => ({ set: (key, payload, ttl) => later(() => store.set(key, payload, ttl)) }),
  ],
  'a set of a large item is overtaken by the calls after it': [
    'order',
    (store) => ({
      set: (key, payload, ttl) =>
        payload.length > 1_000
          ? later(() => store.set(key, payload, ttl))
          : store.set(key, payload, ttl),
    }),
  ],
  'a set with a ttl is overtaken by the calls after it': [
    'order',
    (store) => ({
      set: (key, payload, ttl) =>
        ttl === undefined ? store.set(key, payload) : later(() => store.set(key, payload, ttl)),
    }),
  ],
  'every second set is overtaken by the one after it': [
    'order',
    (store) => {
      let count = 0
      const set = (key: string, payload: string | Uint8Array, ttl?: number) =>
        store.set(key, payload, ttl)
      return { set: (...args) => (count++ % 2 === 0 ? later(() => set(...args)) : set(...args)) }
    },
  ],
  'a delete is overtaken by the calls after it': [
    'order',
    (store) => ({ delete: (key) => later(() => store.delete(key)) }),
  ],
  'a get is overtaken by the calls after it': [
    'order',
    (store) => ({ get: (key) => later(() => store.get(key)) }),
  ],
  'getMany is overtaken by the calls after it': [
    'order',
    (store) => ({ getMany: (keys) => later(() => store.getMany(keys)) }),
  ],
  'getWithTtl is overtaken by the calls after it': [
    'order',
    (store) => ({ getWithTtl: (keys) => later(() => store.getWithTtl(keys)) }),
  ],
  'getWithTtl overtakes the calls before it': [
    'order',
    (store) => ({
      ...wrapStore<ByteStore>(store, (_operation, call) => later(call)),
      getWithTtl: (keys) => store.getWithTtl(keys),
    }),
  ],
  'a setMany that waits for one of its keys is overtaken by the calls of the others': [
    'order',
    (store) => {
      let isBusy = false
      return {
        increment: async (key, by, ttl) => {
          isBusy = true
          const sum = await later(() => store.increment(key, by, ttl))
          isBusy = false
          return sum
        },
        getMany: (keys) => (isBusy ? later(() => store.getMany(keys)) : store.getMany(keys)),
        setMany: (entries, ttl) =>
          isBusy ? later(() => store.setMany(entries, ttl)) : store.setMany(entries, ttl),
      }
    },
  ],
  'setMany is overtaken by the calls after it': [
    'order',
    (store) => ({ setMany: (entries, ttl) => later(() => store.setMany(entries, ttl)) }),
  ],
  'setMany with a ttl stores the first of two items of a key': [
    'order',
    (store) => ({
      setMany: (entries, ttl) =>
        store.setMany(ttl === undefined ? entries : [...entries].reverse(), ttl),
    }),
  ],
  'setMany stores the first of two items of a key': [
    'order',
    (store) => ({
      setMany: (entries, ttl) =>
        store.setMany(ttl === undefined ? [...entries].reverse() : entries, ttl),
    }),
  ],
  'an increment of a text begins a counter': [
    'order',
    (store) => ({
      increment: (key, by, ttl) => {
        if (isText(store.get(key))) store.delete(key)
        return store.increment(key, by, ttl)
      },
    }),
  ],
  'compareAndSet does not replace a mark by a counter': [
    'order',
    (store) => ({
      compareAndSet: (key, expected, next, ttl) =>
        !(isMarkItem(expected) && next !== undefined && !isMarkItem(next)) &&
        store.compareAndSet(key, expected, next, ttl),
    }),
  ],
  'setMany with a ttl is overtaken by deleteMany': [
    'order',
    (store) => ({
      setMany: (entries, ttl) =>
        ttl === undefined ? store.setMany(entries) : later(() => store.setMany(entries, ttl)),
    }),
  ],
  'every third increment is overtaken by those after it': [
    'order',
    (store) => {
      let count = 0
      return {
        increment: (key, by, ttl) =>
          count++ % 3 === 0
            ? later(() => store.increment(key, by, ttl))
            : store.increment(key, by, ttl),
      }
    },
  ],
  'a touch is overtaken by the calls after it': [
    'order',
    (store) => ({ touch: (key, ttl) => later(() => store.touch(key, ttl)) }),
  ],
}
