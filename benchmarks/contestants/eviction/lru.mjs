import { LRUCache } from 'lru-cache'

/** lru-cache: least recently used. */
export function lru(maxEntries, maxBytes) {
  const cache = new LRUCache(
    maxBytes === Infinity ? { max: maxEntries } : { maxSize: Math.floor(maxBytes) },
  )
  return {
    get: (key) => cache.get(key),
    set: (key, value, size) =>
      void cache.set(key, value, size === undefined ? undefined : { size }),
  }
}
