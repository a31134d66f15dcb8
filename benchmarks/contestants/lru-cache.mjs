import { LRUCache } from 'lru-cache'
import { hourMs } from '../lib/dataset.mjs'

/** The synchronous cache behind one async function, as the Map of `raw` is. */
export function memory() {
  const cache = new LRUCache({ max: 50_000, ttl: hourMs })
  return {
    async get(key) {
      return cache.get(key)
    },
    async set(key, value) {
      cache.set(key, value)
    },
    async getMany(keys) {
      return keys.map((key) => cache.get(key))
    },
    async remember(key, load) {
      const found = cache.get(key)
      if (found !== undefined) return found
      const value = await load()
      cache.set(key, value)
      return value
    },
    async close() {},
  }
}
