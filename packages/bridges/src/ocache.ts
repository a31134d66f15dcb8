/**
 * Interface: the backends of `createBlobStorage` of ocache 0.3 (tested with 0.3.2), which h3 2 uses.
 *
 * Cannot: clear all entries, or those of a part. A ttl is in seconds, and one of 0 is over. A failed read is a miss, and an
 * event of the channel `stowage:error`; `set` rejects with the `CacheError`.
 */
import type { Cache } from '@stowage/core'
import { viewAsIs } from '@stowage/core/internal'
import { checkCache, orMiss } from './support/caches.ts'

/** What ocache calls. */
export interface BlobBackend {
  /** Larger responses are not read into memory. */
  readonly maxEntryBytes: number
  get(key: string): Promise<Uint8Array | null>
  set(key: string, value: Uint8Array | null, options?: { ttl?: number }): Promise<void>
}

/**
 * Returns a backend for `createBlobStorage`, which stores bodies as they are.
 *
 * @example
 * import { createBlobStorage, defineCachedFunction } from 'ocache'
 *
 * const storage = createBlobStorage(blobBackend(cache))
 * const priceOf = defineCachedFunction(async (id: string) => `price of ${id}`, { name: 'price', maxAge: 60, storage })
 * console.log(await priceOf('7'))
 */
export function blobBackend(cache: Cache): BlobBackend {
  checkCache('blobBackend', cache)
  const bytes = viewAsIs(cache, 'bytes')
  return {
    maxEntryBytes: cache.limits.valueBytes,
    get: async (key) => (await orMiss(cache, key, () => bytes.get<Uint8Array>(key))) ?? null,
    async set(key, value, { ttl } = {}) {
      if (value === null) await bytes.delete(key)
      else await bytes.set(key, value, { ttl: ttl === undefined ? undefined : ttl * 1_000 })
    },
  }
}
