import { Cache } from '@stowage/core'
import { hourMs } from '../../lib/workloads/dataset.mjs'

const options = { ttl: hourMs }

/** A contestant that uses the store through a Cache, as applications do. */
export function cacheContestant(store, cacheOptions) {
  const cache = new Cache(store, cacheOptions)
  return {
    get: (key) => cache.get(key),
    set: (key, value) => cache.set(key, value, options),
    getMany: (keys) => cache.getMany(keys),
    remember: (key, load) => cache.remember(key, options, load),
    close: () => cache.close(),
  }
}

/** Only reads, of entries with a stale window and a tag. */
export function taggedCacheContestant(store) {
  const cache = new Cache(store)
  const tagged = { ...options, staleWhileRevalidate: hourMs, tags: ['tag'] }
  const remember = (key, load) => cache.remember(key, tagged, load)
  return {
    fill: (key, value) => remember(key, () => value),
    get: (key) => cache.get(key),
    remember,
    close: () => cache.close(),
  }
}
