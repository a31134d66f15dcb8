import { Cache } from '@stowage/core'
import { hourMs } from '../../lib/workloads/dataset.mjs'

const options = { ttl: hourMs }

/** A Cache in front of the store, as applications use it. */
export function cacheOver(store) {
  const cache = new Cache(store)
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value, options),
    getMany: (keys) => cache.getMany(keys),
    remember: (key, load) => cache.remember(key, options, load),
    close: () => cache.close(),
  }
}
