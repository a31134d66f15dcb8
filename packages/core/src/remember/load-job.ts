import type { EntryReader } from '../freshness/entry-reader.ts'
import type { Passes } from '../leases/passes.ts'
import type { ActiveLoads } from '../loading/active-loads.ts'
import type { Caller } from '../loading/caller.ts'
import type { Flight } from '../loading/flight.ts'
import type { LoadContext } from '../loading/load-context.ts'
import type { SingleFlight } from '../loading/single-flight.ts'
import type { CacheRoot } from '../scope/cache-root.ts'
import type { Awaitable } from '../store.ts'
import type { Clock } from '../time/clock.ts'
import type { EntryCodec } from '../values/entry-codec.ts'
import type { LoadOptions } from './remember-options.ts'

/** What is the same for all calls of `remember` of a cache. */
export interface LoadScope {
  readonly entries: EntryCodec
  readonly reader: EntryReader
  readonly flights: SingleFlight
  readonly activeLoads: ActiveLoads
  readonly passes: Passes
  /** The flights of this process that hold a lease or are about to take it, by the storage key of the lease. */
  readonly leaseHolders: Map<string, Flight>
  readonly root: CacheRoot
  readonly clock: Clock
  readonly waitUntil: ((work: Promise<void>) => void) | undefined
}

/** The arguments of a call of `remember`. */
export interface LoadJob<T> {
  readonly scope: LoadScope
  /** The storage key. */
  readonly key: string
  /** The key that the application passed. */
  readonly name: string
  /** The storage key of the lease to refresh a stale value. */
  readonly refreshKey: string
  readonly options: LoadOptions<T>
  readonly load: (context: LoadContext<T>) => Awaitable<T>
}

/** A call of `remember`, while it has no result yet. */
export interface Call<T> {
  readonly job: LoadJob<T>
  /** Set if the caller waits for a limited time. */
  readonly caller: Caller | undefined
  /** How often the call has received a value that may have been invalidated. */
  readonly attempt: number
}
