import { type Audit, createAudit } from '../audit/audit.ts'
import type { AuditOptions } from '../audit/audit-options.ts'
import { Keyspace } from '../keys.ts'
import { NearCache } from '../near/near-cache.ts'
import { nearCodec } from '../near/near-codec.ts'
import { type NearOptions, resolveNearOptions } from '../near/near-options.ts'
import { NearStore } from '../near/near-store.ts'
import type { AnyStore, CacheStore } from '../store.ts'
import { TagVersions } from '../tags/tag-versions.ts'
import { BackendTime } from '../time/backend-time.ts'
import type { Clock } from '../time/clock.ts'
import type { Codec } from '../values/codec.ts'
import { CacheScope } from './cache-scope.ts'

/** Every clock is read over the network, and a reply may be late. In milliseconds. */
const minClockUncertainty = 50

/**
 * What a cache shares with its namespaces and views: the reserved keys, which begin with `~` after the prefix of the
 * outermost cache. They lie outside the generations and namespaces: only the `clear()` of a cache without a prefix, which empties
 * the backend, reaches them.
 */
export class CacheRoot {
  /** The store with the near cache in front of it, if there is one. */
  readonly store: AnyStore
  /** The store itself, for what must not be served from a near cache. */
  readonly directStore: AnyStore
  /** Where the locks are. */
  readonly primaryStore: AnyStore
  /** The near cache, if there is one. */
  readonly near: NearCache | undefined
  /** The audit, if there is one. */
  readonly audit: Audit | undefined
  readonly tags: TagVersions
  readonly time: BackendTime
  /** How much the times of the backend that two processes read may differ, in milliseconds. */
  readonly clockUncertainty: number
  readonly #refreshKeys: Keyspace
  /** That of the outermost cache. */
  readonly prefix: string

  /** @param store the store of the outermost cache, without its generations */
  constructor(
    store: CacheStore,
    prefix: string,
    clock: Clock,
    {
      near,
      audit,
    }: { readonly near?: NearCache | undefined; readonly audit?: Audit | undefined } = {},
  ) {
    this.time = new BackendTime(store.time?.bind(store), clock)
    this.near = near
    this.audit = audit
    this.directStore = store as unknown as AnyStore
    this.primaryStore = primaryOf(this.directStore)
    this.store = this.withNear({ store, storePrefix: '' }, undefined)
    this.tags = new TagVersions(this.store, reservedKeys(store, prefix, 'tag'), this.time)
    const { ttlStep, timeError = ttlStep } = store.limits
    this.clockUncertainty = Math.max(minClockUncertainty, 2 * timeError)
    this.#refreshKeys = reservedKeys(store, prefix, 'refresh')
    this.prefix = prefix
  }

  /** The storage keys of locks, fencing numbers or limits. */
  reservedKeys(kind: 'lock' | 'fence' | 'limit'): Keyspace {
    return reservedKeys(this.store, this.prefix, kind)
  }

  /** The store of a scope with the near cache in front of it, or the store itself if there is none. */
  withNear(
    { store, storePrefix }: { readonly store: CacheStore | AnyStore; readonly storePrefix: string },
    codec: Codec | undefined,
  ): AnyStore {
    const inner = store as AnyStore
    const { near, time } = this
    if (near === undefined) return inner
    return new NearStore({ store: inner, near, storePrefix, codec, time })
  }

  /** The codec for what is read from a store behind the near cache. */
  codecFor(codec: Codec): Codec {
    return this.near === undefined ? codec : nearCodec(codec, this.near.values)
  }

  /** The storage key of the lease to refresh a stale entry. `name` is the key within the outermost cache. */
  refreshKey(name: string): string {
    return this.#refreshKeys.toStorageKey(name)
  }
}

/** The keyspace of the reserved keys of one kind. */
function reservedKeys(
  store: Pick<AnyStore, 'limits'>,
  prefix: string,
  kind: 'tag' | 'refresh' | 'lock' | 'fence' | 'limit',
): Keyspace {
  return new Keyspace(`${prefix}~${kind}:`, store.limits.keyBytes, prefix)
}

/**
 * The store that holds the locks: of a store that fails over to others, the primary one. A lock in a fallback would not keep
 * out those that still reach the primary.
 */
function primaryOf(store: AnyStore & { readonly primary?: AnyStore }): AnyStore {
  return store.primary === undefined ? store : primaryOf(store.primary)
}

/** The options of a cache that all its namespaces and views share. */
interface RootOptions {
  readonly prefix?: string | undefined
  readonly near?: NearOptions | undefined
  readonly audit?: AuditOptions | undefined
}

/**
 * Creates the root of a cache that is not a namespace or a view.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 */
export function createRoot(
  store: CacheStore,
  { prefix = '', near, audit }: RootOptions,
  cache: string,
  clock: Clock,
): CacheRoot {
  return new CacheRoot(store, prefix, clock, {
    near: createNear(store, near, cache, clock),
    audit: createAudit(audit, clock),
  })
}

/**
 * Creates the near cache of a cache and its namespaces. Returns `undefined` for a store that keeps entries by reference:
 * it is as fast, and freezing would freeze the values of the application.
 */
function createNear(
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
