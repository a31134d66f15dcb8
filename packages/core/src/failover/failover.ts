import { checkFailoverStores } from '../options/check-arguments.ts'
import {
  checkInteger,
  checkOptionNames,
  checkTimeout,
  configError,
} from '../options/check-options.ts'
import type { ByteStore } from '../store.ts'
import type { Duration } from '../time/duration.ts'
import { wrapStore } from '../wrappers/wrap-store.ts'
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
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options; TypeError unless `stores` is an array of stores
 * @example
 * const products = new Cache(failover([redis(), memory({ maxEntries: 10_000 })]), { ttl: '10m' })
 * await products.set('1', { name: 'Lamp' }) // even without Redis
 * await products.close()
 */
export function failover(
  stores: readonly [ByteStore, ...ByteStore[]],
  options: FailoverOptions = {},
): FailoverByteStore {
  checkFailoverStores(stores)
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

/** When the breaker of a store opens, and when it sends a probe. */
export interface BreakerOptions {
  /** Share of calls that have to fail, above 0 and at most 1. @default 0.5 */
  readonly failures?: number | undefined
  /** Minimum number of calls within the window. @default 10 */
  readonly calls?: number | undefined
  /** @default '5s' */
  readonly window?: Duration | undefined
  /** Time between two pings of a store that is not used, ± 20 %. @default '1s' */
  readonly probe?: Duration | undefined
}

export interface FailoverOptions {
  readonly breaker?: BreakerOptions | undefined
  /** Maximum number of keys that a process remembers as changed during an outage. @default 100 000 */
  readonly journal?: number | undefined
  /**
   * How long a store that replies again is only written. All processes have to notice within this time that it
   * replies, and have to delete what they have changed meanwhile. @default '2s'
   */
  readonly settle?: Duration | undefined
}

/** @throws CacheError `ERR_CACHE_CONFIG`; TypeError for an unknown option */
function resolveFailoverOptions(options: FailoverOptions): FailoverSettings {
  checkOptionNames('failover', options, { breaker: true, journal: true, settle: true })
  const { breaker = {}, journal = 100_000, settle = '2s' } = options
  checkOptionNames('failover breaker', breaker, {
    failures: true,
    calls: true,
    window: true,
    probe: true,
  })
  const { failures: share = 0.5, calls = 10, window = '5s', probe = '1s' } = breaker
  if (!(share > 0 && share <= 1)) {
    throw configError(`failover: failures must be a number above 0 and at most 1, not ${share}.`)
  }
  return {
    share,
    calls: checkInteger('failover: calls', calls, 1),
    windowMs: checkTimeout('failover: window', window),
    probeMs: checkTimeout('failover: probe', probe),
    journal: checkInteger('failover: journal', journal, 1),
    settleMs: checkTimeout('failover: settle', settle),
  }
}
