import { Cache } from '@stowage/core'
import { hourMs } from '../lib/dataset.mjs'

const options = { ttl: hourMs }

/** A Cache over the store, as an application uses it. */
export function stowage(store) {
  const cache = new Cache(store)
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value, options),
    getMany: (keys) => cache.getMany(keys),
    remember: (key, load) => cache.remember(key, options, load),
    close: () => cache.close(),
  }
}
