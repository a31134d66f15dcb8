import { memcached as memcachedStore } from '@stowage/memcached'
import { hourMs } from '../../lib/workloads/dataset.mjs'
import { cacheContestant } from './cache.mjs'

export const memcached = ({ servers }) => cacheContestant(memcachedStore({ servers }))

/** The store without a Cache, with values that are bytes. */
export function bytes({ servers }) {
  const store = memcachedStore({ servers })
  return {
    get: (key) => store.get(key),
    set: (key, value) => store.set(key, value, hourMs),
    getMany: (keys) => store.getMany(keys),
    close: () => store.close(),
  }
}
