import type { EntryReader } from '../freshness/entry-reader.ts'
import { Lease } from '../leases/lease.ts'
import type { Passes } from '../leases/passes.ts'
import type { ActiveLoads } from '../loading/active-loads.ts'
import type { Caller } from '../loading/caller.ts'
import type { LoadContext } from '../loading/load-context.ts'
import type { SingleFlight } from '../loading/single-flight.ts'
import type { CacheRoot } from '../scope/cache-root.ts'
import type { Awaitable } from '../store.ts'
import type { Clock } from '../time/clock.ts'
import type { EntryCodec } from '../values/entry-codec.ts'
import { defaultLease, type LoadOptions } from './remember-options.ts'

/** What is the same for all calls of `remember` of a cache. */
export interface LoadScope {
  readonly entries: EntryCodec
  readonly reader: EntryReader
  readonly flights: SingleFlight
  readonly activeLoads: ActiveLoads
  readonly passes: Passes
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

/** A lease in the key, which contains no value. */
export function keyLease<T>({ scope, key, options }: LoadJob<T>): Lease {
  return Lease.in(scope.entries.store, key, options.lease ?? defaultLease)
}

/** A lease to refresh the stale value that the key contains. */
export function refreshLease<T>(
  { scope, key, refreshKey, options }: LoadJob<T>,
  item: unknown,
): Lease {
  const stale = { store: scope.entries.store, key, item }
  return Lease.in(scope.root.store, refreshKey, options.lease ?? defaultLease, stale)
}
