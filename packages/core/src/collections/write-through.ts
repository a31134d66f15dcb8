import { channels } from '../channels.ts'
import type { EntryFacts } from '../entry.ts'
import type { Keyspace } from '../keys.ts'
import { Lease } from '../leases/claims.ts'
import { currentLoadOf, runForFlight } from '../loading/current-load.ts'
import { defaultLease, LoadOptions, type RememberOptions } from '../loading/remember-options.ts'
import { Flight, noResult } from '../loading/single-flight.ts'
import type { CacheRoot } from '../scope/cache-root.ts'
import type { CacheScope } from '../scope/cache-scope.ts'
import type { Clock } from '../time/clock.ts'
import { after } from '../time/wait.ts'
import type { StoredEntries } from '../values/stored-entries.ts'

export interface WriteThroughContext {
  readonly entries: StoredEntries
  readonly scope: Pick<CacheScope, 'activeLoads' | 'invalidateLoads' | 'leaseHolders'>
  readonly root: Pick<CacheRoot, 'tags' | 'time'>
  readonly keyspace: Keyspace
  readonly clock: Clock
  /** The ttl of values without one, in milliseconds. */
  readonly ttl: number | undefined
}

/**
 * Writes of a value to its source and to the cache. The order of two saves is not known, so a value is stored only if no
 * other write came in between: a lease in the key, taken before the save, is replaced by the value. A value that replaces
 * the lease meanwhile is deleted, because it may be older than this save.
 */
export class WriteThrough {
  readonly #context: WriteThroughContext

  constructor(context: WriteThroughContext) {
    this.#context = context
  }

  /** Publishes that a stored value does not fit the schema. */
  publishCorrupt(key: string): void {
    if (!channels.corrupt.hasSubscribers) return
    const { entries, keyspace } = this.#context
    channels.corrupt.publish(entries.event(keyspace.toStorageKey(key)))
  }

  /**
   * Calls `save`, and stores the value that it returns. Resolves to that value. `save` is a load that holds its key: other
   * reads of the key wait for it, except those in `save` itself, which load the value for themselves.
   */
  run<T>(key: string, options: RememberOptions<T>, save: () => Promise<T>): Promise<T> {
    return this.#beforeClose(() => this.#run(key, options, save))
  }

  async #run<T>(key: string, options: RememberOptions<T>, save: () => Promise<T>): Promise<T> {
    const { entries, scope, keyspace, clock, ttl } = this.#context
    const storageKey = keyspace.toStorageKey(key)
    const load = new LoadOptions<T>(options, ttl, clock)
    const lease = new Lease(entries.store, storageKey, defaultLease)
    const flight = new Flight(storageKey)
    const outer = currentLoadOf()?.flight
    outer?.startWaitingFor(flight)
    const stopHolding = scope.leaseHolders.hold(lease.id, flight)
    let stopRenewing: (() => void) | undefined
    const end = () => {
      stopRenewing?.()
      stopHolding()
      flight.resolve(noResult)
    }
    // Readers do not wait longer for a save than for a load. The save continues without its lease, so it stores nothing.
    const cancelTimeout = after(load.loadTimeout, end)
    try {
      scope.invalidateLoads(storageKey)
      const tags = await this.#seize(lease, load)
      stopRenewing = lease.keepAlive(() => {})
      const saving = () => runForFlight(flight, save).finally(() => stopRenewing?.())
      return await this.#saveAndStore(storageKey, lease, load, tags, saving)
    } finally {
      cancelTimeout()
      end()
      outer?.stopWaitingFor(flight)
    }
  }

  /** Takes the lease. Returns the versions of the tags before the save: an invalidation after it makes the value a miss. */
  async #seize<T>(lease: Lease, { tags }: LoadOptions<T>): Promise<EntryFacts['tags'] | undefined> {
    const { root } = this.#context
    const [versions] = await Promise.all([
      tags.length === 0 ? undefined : root.tags.currentVersions(tags),
      lease.seize(),
    ])
    return versions
  }

  async #saveAndStore<T>(
    key: string,
    lease: Lease,
    options: LoadOptions<T>,
    tags: EntryFacts['tags'] | undefined,
    save: () => Promise<T>,
  ): Promise<T> {
    let isStored = false
    const write = async () => {
      const value = await save()
      isStored = await this.#replace(key, lease, options, value, tags)
      return value
    }
    return settle(write, async () => isStored || this.#delete(key))
  }

  /** Calls `deleteKey` and `remove`, and then deletes the key again, even if `remove` fails. Resolves to what `deleteKey` does. */
  remove<T>(key: string, deleteKey: () => Promise<T>, remove: () => Promise<unknown>): Promise<T> {
    const storageKey = this.#context.keyspace.toStorageKey(key)
    return this.#beforeClose(async () => {
      const result = await deleteKey()
      // A load that began before the value was deleted in the source is not stored.
      await settle(remove, () => this.#delete(storageKey))
      return result
    })
  }

  /**
   * Does work that changes the source. `close()` waits for it, so that the call does not reject although the source was
   * changed; but not longer than a lease stands by itself.
   */
  async #beforeClose<T>(work: () => Promise<T>): Promise<T> {
    const allowClose = this.#context.scope.activeLoads.delayClose(defaultLease)
    try {
      return await work()
    } finally {
      allowClose()
    }
  }

  async #delete(storageKey: string): Promise<boolean> {
    const { entries, scope } = this.#context
    scope.invalidateLoads(storageKey)
    return entries.store.delete(storageKey)
  }

  /** Returns whether the value has replaced the lease. */
  async #replace<T>(
    key: string,
    lease: Lease,
    options: LoadOptions<T>,
    value: T,
    tags: EntryFacts['tags'] | undefined,
  ): Promise<boolean> {
    const saved = await savedItem(this.#context, key, options, value, tags)
    if (saved === undefined) return false
    this.#context.scope.invalidateLoads(key)
    return lease.replace(saved.item, saved.ttl)
  }
}

/** The item of a saved value. `undefined` if it is not stored. */
export async function savedItem<T>(
  { entries, root }: Pick<WriteThroughContext, 'entries' | 'root'>,
  key: string,
  options: LoadOptions<T>,
  value: T,
  tags: EntryFacts['tags'] | undefined,
): Promise<{ readonly item: unknown; readonly ttl: number | undefined } | undefined> {
  const ttl = options.ttlOf(value)
  if (ttl === 0 || value === undefined) return undefined
  const hasWindow = ttl !== undefined && options.staleWindow > 0
  const now = hasWindow ? await root.time.estimate() : 0
  const facts: EntryFacts = {
    ...(hasWindow && { freshUntil: now + ttl, expiresAt: now + ttl + options.staleWindow }),
    ...(tags !== undefined && { tags }),
  }
  const hasFacts = Object.keys(facts).length > 0
  const item = entries.encode(key, value, hasFacts ? facts : undefined)
  return { item, ttl: ttl === undefined ? undefined : ttl + options.staleWindow }
}

/** Calls `work` and then `cleanUp`, even if `work` fails. If both fail, rejects with the error of `work`. */
async function settle<T>(work: () => Promise<T>, cleanUp: () => Promise<unknown>): Promise<T> {
  const [outcome] = await Promise.allSettled([work()])
  const [cleaning] = await Promise.allSettled([cleanUp()])
  if (outcome.status === 'rejected') throw outcome.reason
  if (cleaning.status === 'rejected') throw cleaning.reason
  return outcome.value
}
