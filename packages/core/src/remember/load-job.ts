import type { Audit } from '../audit/audit.ts'
import type { EntryReader } from '../freshness/entry-reader.ts'
import type { Keyspace } from '../keys.ts'
import type { LeaseHolders } from '../leases/claims.ts'
import type { HitForMiss } from '../leases/hit-for-miss.ts'
import type { LeasePolls } from '../leases/lease-wait.ts'
import type { ActiveLoads } from '../loading/current-load.ts'
import type { LimitedCaller } from '../loading/limited-caller.ts'
import type { LoadContext } from '../loading/load-context.ts'
import type { LoadOptions } from '../loading/remember-options.ts'
import type { FlightGroup } from '../loading/single-flight.ts'
import type { CacheRoot } from '../scope/cache-root.ts'
import type { Awaitable } from '../store.ts'
import type { TagVersions } from '../tags/tag-versions.ts'
import type { Clock } from '../time/clock.ts'
import type { ObservedCall } from '../tracing/observed-call.ts'
import type { StoredEntries } from '../values/stored-entries.ts'

/** What the calls of `remember` use of their cache. */
export interface RememberCache {
  readonly entries: StoredEntries
  readonly reader: Pick<EntryReader, 'read'>
  readonly flights: FlightGroup
  readonly activeLoads: ActiveLoads
  readonly hitForMiss: HitForMiss
  readonly leaseHolders: LeaseHolders
  readonly root: Pick<CacheRoot, 'store' | 'time' | 'clockUncertainty'> & {
    readonly tags: Pick<TagVersions, 'read' | 'create'>
  }
  readonly clock: Clock
  readonly keyspace: Keyspace
  /** Returns the storage key of the lease to refresh the stale value of a key that the application passes. */
  readonly refreshKeyOf: (key: string) => string
  readonly waitUntil: ((work: Promise<void>) => void) | undefined
  /** Set if a sample of the hits is compared with the source. */
  readonly audit: Audit | undefined
  /** Set if another store may be used instead of the primary one. */
  readonly recovery: { readonly isPrimary: boolean } | undefined
}

/** The same of the cache itself, whose reader can also read several keys. */
export interface RememberingCache extends RememberCache {
  readonly reader: EntryReader
}

/** The loads of a call of `rememberMany`, which one call of the loader executes. */
export interface LoadGroup {
  readonly polls: LeasePolls
  /** Makes the loader wait until it is known whether this key is loaded. */
  hold(key: string): void
  /** To be called before a wait for another load: the loader does not wait for that. */
  release(key: string): void
  /** To be called when a refresh in the background begins. */
  addRefresh(key: string, work: Promise<void>): void
}

/** The arguments of a call of `remember`, or those of `rememberMany` for one of the keys. */
export interface LoadJob<T> {
  readonly cache: RememberCache
  readonly storageKey: string
  /** The key that the application passed. */
  readonly key: string
  readonly options: LoadOptions<T>
  readonly load: (context: LoadContext<T>) => Awaitable<T>
  /** Set by `rememberMany`. */
  readonly group?: LoadGroup | undefined
}

/** A call of `remember`, while it has no result yet. */
export interface Call<T> {
  readonly job: LoadJob<T>
  /** Set if the caller waits for a limited time. */
  readonly caller: LimitedCaller | undefined
  /** Set if somebody subscribes to calls. */
  readonly observed?: ObservedCall | undefined
  /** How often the call has received a value that may have been invalidated. */
  readonly attempt: number
}
