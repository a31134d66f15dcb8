import type { InvalidationBus } from '../bus.ts'
import { channels, type NearEvent, publishError } from '../channels.ts'
import { BoundedMap } from '../eviction/bounded-map.ts'
import { checkFunction } from '../options/check-arguments.ts'
import type { CacheStore } from '../store.ts'
import { type Clock, elapsedTimeOf, systemClock } from '../time/clock.ts'
import { ExpiryClock } from '../time/expiry-clock.ts'
import type { DecodedItem } from '../values/stored-entries.ts'
import type { NearValues, ResolvedNearOptions } from './near-options.ts'

/** How long to wait before another attempt to subscribe, in milliseconds. */
const retryMs = 1_000
/** The last part of the name that announces `clear()` of a prefix: that of the id of a generation. */
const clearMark = '~generation'

/** The near caches of this process over one store: a write through one of them invalidates the others. */
const nearCaches = new WeakMap<CacheStore, Set<NearCache>>()

export interface NearCacheConfig extends ResolvedNearOptions {
  /** The store of the outermost cache. */
  readonly store: CacheStore
  /** The name of the cache in events. */
  readonly cache: string
  readonly clock: Clock
  /** Called when another process has cleared a prefix. */
  readonly onClear: (prefix: string) => void
}

/** What a near cache contains and has done. */
export interface NearStats {
  readonly entries: number
  /** The size of their keys and encoded values. */
  readonly bytes: number
  readonly hits: number
  readonly misses: number
  /** Entries that were dropped because they may have changed. */
  readonly invalidations: number
  /** Whether entries are served now: not while the bus is disconnected. */
  readonly serving: boolean
}

/**
 * The entries of a near cache, by their storage keys without the ids of generations.
 *
 * - Nothing is served or kept while the bus is disconnected.
 * - The result of a read is not kept if its key was invalidated after the read was sent.
 */
export class NearCache {
  readonly #config: NearCacheConfig
  readonly #items: BoundedMap<DecodedItem>
  readonly #reads = new ReadsInFlight()
  readonly #expiry: ExpiryClock
  readonly #siblings: Set<NearCache>
  #unsubscribe: (() => void) | undefined
  #subscribing = false
  /** In the time of `performance.now()`. */
  #failedAt = -Infinity
  #isClosed = false
  #hits = 0
  #misses = 0
  #invalidations = 0

  constructor(config: NearCacheConfig) {
    const { clock, maxEntries, maxBytes, store } = config
    this.#config = config
    // The clock of the system may be set back, and a monotonic one stands still while the machine is suspended.
    const now = elapsedTimeOf(clock)
    this.#expiry = new ExpiryClock({ now }, clock === systemClock)
    this.#items = new BoundedMap({ maxEntries, maxBytes, expiry: this.#expiry, store: 'near' })
    this.#siblings = nearCaches.get(store) ?? new Set()
    nearCaches.set(store, this.#siblings.add(this))
  }

  get values(): NearValues {
    return this.#config.values
  }

  /** Announces the changes of other processes. */
  get bus(): InvalidationBus | undefined {
    return this.#config.bus
  }

  /** Whether other processes' changes are announced. */
  get hasBus(): boolean {
    return this.#config.bus !== undefined
  }

  get stats(): NearStats {
    return {
      entries: this.#items.size,
      bytes: this.#items.bytes,
      hits: this.#hits,
      misses: this.#misses,
      invalidations: this.#invalidations,
      serving: this.#isServing,
    }
  }

  find(key: string): DecodedItem | undefined {
    const item = this.#isServing ? this.#items.get(key) : undefined
    if (item === undefined) this.#misses++
    else this.#hits++
    return item
  }

  /** Call it before a read is sent. Returns `undefined` if its result must not be kept. */
  beginRead(key: string): ReadInFlight | undefined {
    if (this.#isServing) return this.#reads.begin(key)
    this.#subscribe()
    return undefined
  }

  /** When an entry that is read now ends. */
  endOfTtl(): number {
    return this.#expiry.expiresAt(this.#config.ttlMs)
  }

  /**
   * Call it with the result of a read; without one, it is not kept.
   *
   * @param expiresAt a result of `endOfTtl()`, from when the read was sent
   * @param ttl the remaining ttl of the entry in the store, in milliseconds, if it is known
   */
  endRead(
    read: ReadInFlight,
    item: DecodedItem | undefined,
    expiresAt: number,
    ttl: number | undefined,
  ): void {
    this.#reads.end(read)
    if (item === undefined || read.isOutdated) return
    const size = item.size + read.key.length
    if (size > this.#config.maxBytes) return
    const end = Math.min(expiresAt, expiresAt - this.#config.ttlMs + (ttl ?? Infinity))
    this.#items.set(read.key, item, size, end)
  }

  /** Drops entries that this process changes, in all near caches over the store. */
  drop(keys: readonly string[]): void {
    for (const near of this.#siblings) for (const key of keys) near.#drop(key)
  }

  /** Drops all entries whose keys begin with `prefix`. */
  dropPrefix(prefix: string): void {
    for (const near of this.#siblings) near.#dropPrefix(prefix)
  }

  /** Call it when keys are read from the primary store again after an outage; `undefined` means all. */
  onSettled(keys: readonly string[] | undefined): void {
    // The keys of a store that cannot list them contain ids of generations, which those of a near cache do not.
    if (keys === undefined || this.#config.store.scan === undefined) this.dropPrefix('')
    else this.drop(keys)
  }

  /** Notifies the other processes of changed entries. Failures are published on `stowage:error`. */
  announce(keys: readonly string[]): void {
    const { bus } = this.#config
    if (bus === undefined || keys.length === 0) return
    try {
      const published = bus.publish(keys)
      if (published instanceof Promise) published.catch((error) => this.#report(error, keys))
    } catch (error) {
      this.#report(error, keys)
    }
  }

  /** Drops all entries whose keys begin with `prefix`, and notifies the other processes. */
  endClear(prefix: string): void {
    this.dropPrefix(prefix)
    this.announce([prefix + clearMark])
  }

  /** Stops serving entries. Writes in flight are still announced. */
  stop(): void {
    this.#isClosed = true
    this.#siblings.delete(this)
    this.#unsubscribe?.()
    this.#unsubscribe = undefined
    this.#dropPrefix('')
  }

  /** Closes the bus if it belongs to this cache. Idempotent. */
  async close(): Promise<void> {
    this.stop()
    if (this.#config.ownsBus) await this.#config.bus?.close()
  }

  get #isServing(): boolean {
    const { bus } = this.#config
    if (bus === undefined) return !this.#isClosed
    return this.#unsubscribe !== undefined && bus.connected
  }

  /** Subscribes at the first read, because constructors do no I/O. */
  #subscribe(): void {
    const { bus } = this.#config
    if (bus === undefined || this.#unsubscribe !== undefined || this.#subscribing) return
    if (this.#isClosed || performance.now() - this.#failedAt < retryMs) return
    this.#subscribing = true
    // A bus of the application may throw. The read does not fail with it.
    const subscribing = async () => bus.subscribe((keys) => this.#onInvalidation(keys))
    subscribing()
      .then((unsubscribe) => this.#onSubscribed(unsubscribe))
      .catch((error) => {
        this.#failedAt = performance.now()
        this.#report(error, [])
      })
      .finally(() => {
        this.#subscribing = false
      })
  }

  #onSubscribed(unsubscribe: () => void): void {
    // Otherwise each read would subscribe again.
    checkFunction(unsubscribe, 'unsubscribe = await bus.subscribe(listener)')
    if (this.#isClosed) {
      unsubscribe()
      return
    }
    this.#unsubscribe = unsubscribe
    // A clear before the subscription was not announced to this process.
    this.#config.onClear('')
  }

  #onInvalidation(keys: readonly string[] | undefined): void {
    if (keys === undefined) {
      this.#publishEmptied()
      this.#dropPrefix('')
      this.#config.onClear('')
    } else for (const key of keys) this.#onChange(key)
  }

  #onChange(key: string): void {
    this.#drop(key)
    if (!key.endsWith(clearMark)) return
    const prefix = key.slice(0, -clearMark.length)
    this.#dropPrefix(prefix)
    this.#config.onClear(prefix)
  }

  #drop(key: string): void {
    this.#reads.invalidate(key)
    if (this.#items.delete(key)) this.#invalidations++
  }

  #dropPrefix(prefix: string): void {
    this.#reads.invalidateAll(prefix)
    if (prefix === '') {
      this.#invalidations += this.#items.size
      this.#items.clear()
    } else for (const key of this.#items.keys()) if (key.startsWith(prefix)) this.#drop(key)
  }

  #publishEmptied(): void {
    if (!channels.near.hasSubscribers) return
    const { cache, store } = this.#config
    const event: NearEvent = { cache, store: store.name, entries: this.#items.size }
    channels.near.publish(event)
  }

  #report(error: unknown, [key = '']: readonly string[]): void {
    const { cache, store } = this.#config
    publishError({ cache, store: store.name, key }, error)
  }
}

/** A read that has been sent. Reads of a key that are in flight at the same time share it. */
export interface ReadInFlight {
  readonly key: string
  /** Whether the key has been invalidated since the read was sent: its result may be the old value. */
  isOutdated: boolean
  /** How many reads share it. */
  reads: number
}

/** The reads in flight, so that a result that was invalidated on the way is not kept. */
export class ReadsInFlight {
  readonly #reads = new Map<string, ReadInFlight>()

  begin(key: string): ReadInFlight {
    let read = this.#reads.get(key)
    if (read === undefined) {
      read = { key, isOutdated: false, reads: 0 }
      this.#reads.set(key, read)
    }
    read.reads++
    return read
  }

  end(read: ReadInFlight): void {
    read.reads--
    if (read.reads === 0 && this.#reads.get(read.key) === read) this.#reads.delete(read.key)
  }

  /** Later reads of the key may be kept again. */
  invalidate(key: string): void {
    const read = this.#reads.get(key)
    if (read === undefined) return
    read.isOutdated = true
    this.#reads.delete(key)
  }

  invalidateAll(prefix: string): void {
    for (const key of this.#reads.keys()) if (key.startsWith(prefix)) this.invalidate(key)
  }
}
