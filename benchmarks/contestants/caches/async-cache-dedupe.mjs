import { createCache } from 'async-cache-dedupe'
import { Redis } from 'ioredis'
import { hourMs } from '../../lib/workloads/dataset.mjs'

const ttlSeconds = hourMs / 1_000

export const memory = () => contestant({ type: 'memory', options: { size: 50_000 } })

export function redis({ url }) {
  const client = new Redis(url)
  return contestant({ type: 'redis', options: { client } }, () => client.quit())
}

function contestant(storage, close = async () => {}) {
  let currentLoad
  // The loader is defined once, with the cache. The other contestants get a loader with each call.
  const cache = createCache({ ttl: ttlSeconds, storage }).define('value', () => currentLoad())
  return {
    get: (key) => cache.get('value', key),
    set: (key, value) => cache.set('value', key, value, ttlSeconds),
    remember(key, load) {
      currentLoad = load
      return cache.value(key)
    },
    close,
  }
}
