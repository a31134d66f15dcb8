import { BoundedMap } from '@stowage/core/internal'

/** The map of the memory driver and of the near cache: SIEVE, with a memory of recently evicted keys, and aware of sizes. */
export function stowage(maxEntries, maxBytes) {
  const map = new BoundedMap({ maxEntries, maxBytes, expiry: { isPast: () => false } })
  return {
    get: (key) => map.get(key),
    set: (key, value, size = 0) => map.set(key, value, size, Infinity),
  }
}
