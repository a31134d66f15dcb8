import { Keyspace } from '../keys.ts'
import type { CacheStore } from '../store.ts'
import { TagVersions } from '../tags/tag-versions.ts'
import { BackendTime } from '../time/backend-time.ts'
import type { Clock } from '../time/clock.ts'
import type { AnyStore } from '../values/entry-codec.ts'

/** Every clock is read over the network, and a reply may be late. In milliseconds. */
const minClockUncertainty = 50

/**
 * What a cache shares with its namespaces and views: the reserved keys, which begin with `~` after the prefix of the
 * outermost cache. They lie outside the generations and namespaces, so that `clear()` does not reach them.
 */
export class CacheRoot {
  readonly store: AnyStore
  readonly tags: TagVersions
  readonly time: BackendTime
  /** How much the times of the backend that two processes read may differ, in milliseconds. */
  readonly clockUncertainty: number
  readonly #refreshKeys: Keyspace

  /** @param store the store of the outermost cache, without its generations */
  constructor(store: CacheStore, prefix: string, clock: Clock) {
    this.store = store as unknown as AnyStore
    this.time = new BackendTime(store.time?.bind(store), clock)
    this.tags = new TagVersions(this.store, reservedKeys(store, prefix, 'tag'), this.time)
    const { ttlStep, timeError = ttlStep } = store.limits
    this.clockUncertainty = Math.max(minClockUncertainty, 2 * timeError)
    this.#refreshKeys = reservedKeys(store, prefix, 'refresh')
  }

  /** The storage key of the lease to refresh a stale entry. `name` is the key within the outermost cache. */
  refreshKey(name: string): string {
    return this.#refreshKeys.toStorageKey(name)
  }
}

/** The keyspace of the reserved keys of one kind. */
function reservedKeys(store: CacheStore, prefix: string, kind: 'tag' | 'refresh'): Keyspace {
  return new Keyspace(`${prefix}~${kind}:`, store.limits.keyBytes, prefix)
}
