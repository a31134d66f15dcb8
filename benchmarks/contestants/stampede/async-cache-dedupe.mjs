import { createCache } from 'async-cache-dedupe'
import { Redis } from 'ioredis'
import { freshMs, staleMs } from './staleness.mjs'

export function redis({ url }) {
  const client = new Redis(url)
  const options = { ttl: freshMs / 1_000, stale: staleMs / 1_000 }
  let currentLoad
  const cache = createCache({ ...options, storage: { type: 'redis', options: { client } } })
  // The loader is defined once, with the cache. The other contestants get a loader with each call.
  cache.define('value', () => currentLoad())
  const remember = (key, load) => {
    currentLoad = load
    return cache.value(key)
  }
  return { remember, rememberStale: remember, close: () => client.quit() }
}
