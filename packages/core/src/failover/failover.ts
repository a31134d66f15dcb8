import { configError } from '../options/check-options.ts'
import type { ByteStore } from '../store.ts'
import { wrapStore } from '../wrappers/wrap-store.ts'
import { type FailoverOptions, resolveFailoverOptions } from './failover-options.ts'
import { FailoverStore } from './failover-store.ts'
import type { FailoverSettings } from './recovery/recovery.ts'

/** A store with fallback stores. */
export type FailoverByteStore = ByteStore & {
  /** The first of the stores. It has all locks. */
  readonly primary: ByteStore
}

/**
 * Returns a store that uses the first of `stores`, and the next one while that is unreachable or read-only. Reads, `set`,
 * `delete` and `touch` are repeated on the fallback store at once; `add`, `compareAndSet` and `increment` fail if they may
 * have been executed. When most calls fail, a breaker opens: the store is not used until it replies to a ping.
 *
 * Keys that were changed meanwhile are deleted from it before it is read again, so that no value from before the outage
 * replaces a newer one. A process that ends during the outage cannot do that: set a ttl. A fallback store may be used by
 * others as well: its keys begin with an id that changes with each outage, and it is never cleared.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @example
 * const products = new Cache(failover([redis(), memory({ maxEntries: 10_000 })]), { ttl: '10m' })
 * await products.set('1', { name: 'Lamp' }) // even without Redis
 * await products.close()
 */
export function failover(
  stores: readonly [ByteStore, ...ByteStore[]],
  options: FailoverOptions = {},
): FailoverByteStore {
  const settings = resolveFailoverOptions(options)
  if (stores.length === 0) {
    throw configError('failover: at least one store is required.')
  }
  for (const { name, payload } of stores) {
    if (payload === 'bytes') continue
    throw configError(`failover: ${name} stores entries by reference. Use stores of bytes.`)
  }
  return chain(stores, settings)
}

/** The fallback store of the first store is a failover store of the others. */
function chain(
  [primary, ...others]: readonly [ByteStore, ...ByteStore[]],
  settings: FailoverSettings,
): FailoverByteStore {
  const [fallback, ...further] = others
  if (fallback === undefined) {
    return Object.assign(
      wrapStore(primary, (_, call) => call()),
      { primary },
    )
  }
  return new FailoverStore(
    primary,
    further.length === 0 ? fallback : chain([fallback, ...further], settings),
    settings,
  )
}
