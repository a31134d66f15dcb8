import { Cache } from '@stowage/core'
import { hourMs } from '../../lib/workloads/dataset.mjs'

const options = { ttl: hourMs }

/** A contestant that uses the store through a Cache, as applications do. */
export function cacheContestant(store) {
  const cache = new Cache(store)
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value, options),
    getMany: (keys) => cache.getMany(keys),
    remember: (key, load) => cache.remember(key, options, load),
    close: () => cache.close(),
  }
}
