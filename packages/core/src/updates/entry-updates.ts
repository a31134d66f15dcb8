import { CacheError } from '../errors.ts'
import type { EntryReader, Found } from '../freshness/entry-reader.ts'
import { isInProgress } from '../freshness/freshness.ts'
import type { Flight } from '../loading/single-flight.ts'
import { type AnyStore, type Awaitable, type ReadOptions, strongRead } from '../store.ts'
import type { BackendTime } from '../time/backend-time.ts'
import type { Clock } from '../time/clock.ts'
import { parseMark } from '../values/mark.ts'
import { integerOf, toIntegerItem } from '../values/plain-items.ts'
import { randomId } from '../values/random-id.ts'
import { type StoredEntries, storedItem } from '../values/stored-entries.ts'
import type { OrderedStore } from '../wrappers/ordered-store.ts'
import { conflict, retryOnConflict } from './conditional-write.ts'
import type { KeyedQueue } from './keyed-queue.ts'

export interface EntryUpdatesContext {
  readonly store: OrderedStore
  readonly entries: StoredEntries
  readonly reader: EntryReader
  readonly scope: {
    readonly updates: KeyedQueue
    /** Call it before a write: a value that is being loaded will not be stored. */
    invalidateLoads(key: string): void
  }
  readonly time: BackendTime
  readonly clock: Clock
}

/** The item that replaces another one. `undefined` deletes it. */
export interface Replacement {
  readonly item: unknown
  /** 0 deletes the item. */
  readonly ttl: number | undefined
}

interface Increment {
  readonly key: string
  readonly by: number
  readonly ttl: number | undefined
}

const deletion: Replacement = { item: undefined, ttl: undefined }

/**
 * Writes that depend on the stored value: a read and a compare-and-set with the item that was read. Items that read as a
 * miss (leases, stale or invalidated entries) are replaced like missing ones.
 */
export class EntryUpdates {
  readonly #context: EntryUpdatesContext

  constructor(context: EntryUpdatesContext) {
    this.#context = context
  }

  /**
   * Calls `change` with the fresh value, and stores the replacement that it returns; `undefined` keeps the item. Later
   * updates of the key wait for the flight.
   */
  update<T>(
    operation: string,
    key: string,
    change: (current: T | undefined, flight: Flight) => Awaitable<Replacement | undefined>,
  ): Promise<void> {
    return this.#runExclusively(operation, key, async (flight) => {
      const found = await this.read(key)
      const current = this.#context.entries.serve<T>(key, freshEntry(found))
      const replacement = await change(current, flight)
      if (replacement === undefined) return undefined
      return (await this.replace(key, found.item, replacement)) ? undefined : conflict
    })
  }

  /** Deletes the value. Resolves to it, or to `undefined` if there was none. */
  async pull<T>(key: string): Promise<T | undefined> {
    let pulled: T | undefined
    await this.update<T>('pull', key, (current) => {
      pulled = current
      return current === undefined ? undefined : deletion
    })
    return pulled
  }

  /** Makes the entry stale, or deletes it if it has no stale window. Returns whether a fresh one existed. */
  async expire(key: string): Promise<boolean> {
    let isExpired = false
    await this.#runExclusively('expire', key, async () => {
      const found = await this.read(key)
      const entry = freshEntry(found)
      isExpired = entry !== undefined
      if (entry === undefined) return undefined
      const replacement = await this.#stale(key, entry)
      return (await this.replace(key, found.item, replacement)) ? undefined : conflict
    })
    return isExpired
  }

  /** Stores the item unless there is a fresh entry. */
  add(key: string, item: unknown, ttl: number | undefined): Awaitable<boolean> {
    // Later calls for the key wait for it: they could change what has refused it, before that is read.
    return this.#context.store.overlap('add', key, (store) => this.addTo(store, key, item, ttl))
  }

  /** The same for the store itself, in a write that later calls for the key wait for. */
  addTo(store: AnyStore, key: string, item: unknown, ttl: number | undefined): Awaitable<boolean> {
    const added = store.add(key, item, ttl)
    if (!(added instanceof Promise)) return added || this.#addOverMiss(store, key, item, ttl)
    return added.then((isAdded) => isAdded || this.#addOverMiss(store, key, item, ttl))
  }

  /** Increments a counter. A mark counts as none, because it reads as a miss. */
  increment(key: string, by: number, ttl: number | undefined): Awaitable<number> {
    // Later calls for the key wait for it: they could change what has refused it, before that is read.
    return this.#context.store.overlap('increment', key, (store) => {
      try {
        const sum = store.increment(key, by, ttl)
        if (!(sum instanceof Promise)) return sum
        return sum.catch((error) => this.#incrementOverMark(store, error, { key, by, ttl }))
      } catch (error) {
        return this.#incrementOverMark(store, error, { key, by, ttl })
      }
    })
  }

  read(key: string, options?: ReadOptions): Awaitable<Found> {
    const isStrong = options === undefined || options.consistency === undefined
    return this.#context.reader.read(key, [], isStrong ? { ...options, ...strongRead } : options)
  }

  /** Replaces the item `seen` unless it has changed since; `undefined` means no item. Returns whether it was unchanged. */
  async replace(key: string, seen: unknown, { item, ttl }: Replacement): Promise<boolean> {
    const { store, scope } = this.#context
    scope.invalidateLoads(key)
    const next = ttl === 0 ? undefined : item
    if (seen !== undefined) return store.compareAndSet(key, seen, next, ttl)
    return next === undefined ? true : store.add(key, next, ttl)
  }

  /**
   * The same for the item of a snapshot: if there was none, also replaces an item that reads as a miss. Not the mark of a
   * change: what the new value was made of may be changing.
   */
  async replaceSnapshot(key: string, seen: unknown, replacement: Replacement): Promise<boolean> {
    const mark = parseMark(seen)
    if (mark?.kind === 'change' && (await isInProgress(mark, this.#context.time))) return false
    const { item, ttl } = replacement
    const adds = seen === undefined && item !== undefined && ttl !== 0
    if (!adds) return this.replace(key, seen, replacement)
    this.#context.scope.invalidateLoads(key)
    return this.add(key, item, ttl)
  }

  /** Replaces what has refused an `add`, if it reads as a miss. */
  async #addOverMiss(
    store: AnyStore,
    key: string,
    item: unknown,
    ttl: number | undefined,
  ): Promise<boolean> {
    const { reader, entries, scope, time } = this.#context
    const found = await reader.over(entries.over(store)).read(key, [], strongRead)
    // Corrupt, or missing: another process, or a `clear()`, may have deleted it after this call was made. Then it must not
    // store any more.
    const isForeign = found.mark === undefined && !found.isEntry
    if (isForeign || freshEntry(found) !== undefined) return false
    if (found.mark?.kind === 'change' && (await isInProgress(found.mark, time))) return false
    scope.invalidateLoads(key)
    return store.compareAndSet(key, found.item, item, ttl)
  }

  /**
   * Replaces the mark that has refused an increment, or increments what has replaced it. Nothing is stored if what has
   * refused it is missing: another process, or a `clear()`, may have deleted it after this call was made.
   */
  async #incrementOverMark(
    store: AnyStore,
    refusal: unknown,
    { key, by, ttl }: Increment,
  ): Promise<number> {
    if (!isRejection(refusal)) throw refusal
    const { scope, clock } = this.#context
    const at = { operation: 'increment', key, store: store.name }
    let lastRefusal: unknown = refusal
    let isRepeated = false
    return retryOnConflict(at, clock, async () => {
      const item = storedItem(await store.get(key, strongRead))
      if (parseMark(item) !== undefined) {
        scope.invalidateLoads(key)
        const counter = toIntegerItem(store, by + 0) // −0 is 0.
        if (await store.compareAndSet(key, item, counter, ttl)) return by + 0
      } else if (isRepeated || integerOf(store, item) === undefined) throw lastRefusal
      else isRepeated = true
      try {
        return await store.increment(key, by, ttl)
      } catch (error) {
        if (!isRejection(error)) throw error
        lastRefusal = error
        return conflict
      }
    })
  }

  async #stale(key: string, { value, facts }: NonNullable<Found['entry']>): Promise<Replacement> {
    const now = await this.#context.time.estimate()
    const ttl = (facts?.expiresAt ?? now) - now
    if (ttl <= 0) return deletion
    const item = this.#context.entries.encode(key, value, {
      ...facts,
      freshUntil: now,
      id: randomId(8),
    })
    return { item, ttl: Math.ceil(ttl) }
  }

  /**
   * Retries a read and a conditional write until no other write comes in between. Calls in this process for one key run
   * one after another, so that only other processes can conflict.
   */
  #runExclusively(
    operation: string,
    key: string,
    attempt: (flight: Flight) => Promise<undefined | typeof conflict>,
  ): Promise<undefined> {
    const { scope, clock, store } = this.#context
    const at = { operation, key, store: store.name }
    return scope.updates.run(key, at, (flight) => retryOnConflict(at, clock, () => attempt(flight)))
  }
}

/** Whether a store has refused to increment what the key contains. */
function isRejection(error: unknown): boolean {
  return CacheError.is(error) && error.code === 'ERR_CACHE_REJECTED'
}

/** The entry that a read returns. */
function freshEntry({ entry, staleMs }: Found): Found['entry'] {
  return staleMs < 0 ? entry : undefined
}
