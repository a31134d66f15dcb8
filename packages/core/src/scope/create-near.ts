import { NearCache } from '../near/near-cache.ts'
import { type NearOptions, resolveNearOptions } from '../near/near-options.ts'
import type { CacheStore } from '../store.ts'
import type { Clock } from '../time/clock.ts'
import { CacheScope } from './cache-scope.ts'

/**
 * Creates the near cache of a cache and its namespaces. Returns `undefined` for a store that keeps entries by reference:
 * it is as fast, and freezing would freeze the values of the application.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 */
export function createNear(
  store: CacheStore,
  options: NearOptions | undefined,
  cache: string,
  clock: Clock,
): NearCache | undefined {
  if (options === undefined) return undefined
  const resolved = resolveNearOptions(options)
  if (store.payload === 'entry') return undefined
  const onClear = (prefix: string) => CacheScope.of(store).expireGenerations(prefix)
  return new NearCache({ ...resolved, store, cache, clock, onClear })
}
