import type { LoadContext, RememberOptions } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { CacheParts } from '../../src/cache-parts.ts'
import type { Found } from '../../src/freshness/entry-reader.ts'
import type { Claim } from '../../src/leases/claims.ts'
import { LoadOptions } from '../../src/loading/remember-options.ts'
import type { LoadGroup, LoadJob, RememberCache } from '../../src/remember/load-job.ts'
import { json } from '../../src/values/codecs/json.ts'
import type { Mark } from '../../src/values/mark.ts'

/** What a read of a missing key finds. */
export const miss: Found = {
  item: undefined,
  entry: undefined,
  isEntry: false,
  staleMs: Infinity,
  mark: undefined,
  versions: new Map(),
}

interface JobSetUp<T> {
  readonly options?: RememberOptions<T>
  readonly store?: ByteStore
  readonly clock?: ManualClock
  /** What differs from the usual parts of a cache. */
  readonly cache?: Partial<RememberCache>
  readonly root?: Partial<RememberCache['root']>
  readonly load?: (context: LoadContext<T>) => T | Promise<T>
  readonly group?: LoadGroup
}

/** A call of `remember` for the key `k`, as the functions of the folder `remember` receive it. */
export function loadJob<T = string>(setUp: JobSetUp<T> = {}): LoadJob<T> {
  const { options = {}, clock = new ManualClock(), store = referenceStore({ clock }) } = setUp
  const { entries, reader, keyspace, root, scope } = new CacheParts(store, { clock }, undefined)
  const { activeLoads, hitForMiss, leaseHolders } = scope
  const { store: rootStore, time, clockUncertainty, tags } = root
  const cache: RememberCache = {
    entries,
    reader,
    flights: scope.flightsOf(json()),
    activeLoads,
    hitForMiss,
    leaseHolders,
    root: { store: rootStore, time, clockUncertainty, tags, ...setUp.root },
    clock,
    keyspace,
    refreshKeyOf: (key) => root.refreshKey(key),
    waitUntil: undefined,
    audit: undefined,
    recovery: undefined,
    ...setUp.cache,
  }
  const { group, load = () => 'loaded' as T } = setUp
  const loadOptions = new LoadOptions<T>(options, undefined, clock)
  return { cache, storageKey: 'k', key: 'k', options: loadOptions, load, group }
}

/** A claim that succeeds, and records how it ends: `['replace', item, ttl]`, `['end', mark]`. */
export function recordedClaim(claim: Partial<Claim> = {}) {
  const calls: unknown[][] = []
  const recorded: Claim = {
    canBeLost: true,
    replacesStale: false,
    keepAlive: () => () => {},
    ...claim,
    replace: async (item, ttl) => {
      calls.push(['replace', item, ttl])
      return claim.replace?.(item, ttl) ?? true
    },
    end: async (mark?: Mark) => {
      calls.push(['end', mark])
      return claim.end?.(mark) ?? true
    },
  }
  return { claim: recorded, calls }
}
