/**
 * Interface: `KeyValueCache` of Apollo Server 5 (tested with `@apollo/utils.keyvaluecache` 4).
 *
 * Cannot: store "for ever" with a ttl of `null`, with which that of the cache applies. A ttl is in seconds, and one of 0 is
 * over. Concurrent reads share requests, so that no adapter that batches is needed. A failed read is a miss, and an event of
 * the channel `stowage:error`; `set` and `delete` reject with the `CacheError`.
 */
import type { Cache } from '@stowage/core'
import { viewAsIs } from '@stowage/core/internal'
import { checkCache, orMiss, textOf } from './support/caches.ts'

/** What Apollo calls. */
export interface ApolloCache {
  get(key: string): Promise<string | undefined>
  set(key: string, value: string, options?: { ttl?: number | null }): Promise<void>
  delete(key: string): Promise<boolean>
}

/**
 * Returns a cache for `ApolloServer`: for automatic persisted queries, its response cache and data sources.
 *
 * @example
 * import type { KeyValueCache } from '@apollo/utils.keyvaluecache'
 *
 * const queries: KeyValueCache = apolloCache(cache)
 * await queries.set('apq:1', '{ me }', { ttl: 300 })
 */
export function apolloCache(cache: Cache): ApolloCache {
  checkCache('apolloCache', cache)
  const texts = viewAsIs(cache, 'text')
  return {
    get: (key) => orMiss(cache, key, async () => textOf(await texts.get(key))),
    set: (key, value, { ttl } = {}) =>
      texts.set(key, value, { ttl: ttl == null ? undefined : ttl * 1_000 }),
    delete: (key) => texts.delete(key),
  }
}
