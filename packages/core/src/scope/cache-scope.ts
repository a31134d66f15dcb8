import { Lifecycle } from '../calls/in-flight.ts'
import { CacheError } from '../errors.ts'
import { TagHints } from '../freshness/tag-hints.ts'
import { Generation } from '../generations/generation.ts'
import { GenerationStore } from '../generations/generation-store.ts'
import { LeaseHolders } from '../leases/claims.ts'
import { HitForMiss } from '../leases/hit-for-miss.ts'
import { ActiveLoads } from '../loading/current-load.ts'
import { FlightGroup, FlightGroups } from '../loading/single-flight.ts'
import type { AnyStore, CacheStore } from '../store.ts'
import type { Clock } from '../time/clock.ts'
import { KeyedQueue } from '../updates/keyed-queue.ts'
import type { Codec } from '../values/codec.ts'
import { KeyOrder } from '../wrappers/key-order.ts'

const scopes = new WeakMap<CacheStore, CacheScope>()

/** What the scope of a store shares with those of its prefixes. */
interface Shared {
  /** The store without generations, which has their ids. */
  readonly innermost: AnyStore
  readonly lifecycle: Lifecycle
  readonly closeStore: () => Promise<void>
  readonly activeLoads: ActiveLoads
}

/**
 * The state that all caches over one store share in this process, so that two `Cache` objects behave as one: the flights
 * of `remember`, the queues of updates and the generation. On a store that cannot list its keys, each prefix has a scope
 * of its own.
 */
export class CacheScope {
  /** The store that caches of this scope use. */
  readonly store: CacheStore
  /** The order of the calls of all caches for keys with a write that has to read something first. */
  readonly order: KeyOrder = new KeyOrder()
  /** The prefixes that the store adds to its keys, without the ids of their generations. */
  readonly storePrefix: string
  /** Runs the calls of `update`, `replace` and `pull` for one key one after another. */
  readonly updates: KeyedQueue = new KeyedQueue()
  readonly #shared: Shared
  /** The generation of this prefix; `undefined` for the scope of a store. */
  readonly #generation: Generation | undefined
  /** By storage key. */
  readonly tagHints: TagHints = new TagHints()
  /** The keys whose values could not be kept recently. */
  readonly hitForMiss: HitForMiss = new HitForMiss()
  readonly leaseHolders: LeaseHolders = new LeaseHolders()
  /** Caches that share a codec share their flights. */
  readonly #flights = new WeakMap<Codec, FlightGroup>()
  readonly #flightGroups = new FlightGroups()
  /** The scopes below this one, by prefix, as long as a cache uses them. */
  readonly #prefixes = new Map<string, WeakRef<CacheScope>>()
  #collected: FinalizationRegistry<string> | undefined

  private constructor(
    store: CacheStore,
    shared: Shared,
    storePrefix: string,
    generation: Generation | undefined,
  ) {
    this.store = store
    this.storePrefix = storePrefix
    this.#shared = shared
    this.#generation = generation
    scopes.set(store, this)
  }

  /** Returns the scope of a store, which is the same for every cache over it. */
  static of(store: CacheStore): CacheScope {
    const existing = scopes.get(store)
    if (existing !== undefined) return existing
    const shared: Shared = {
      innermost: store as unknown as AnyStore,
      lifecycle: new Lifecycle(store.name),
      closeStore: () => store.close(),
      activeLoads: new ActiveLoads(),
    }
    return new CacheScope(store, shared, '', undefined)
  }

  /** The loads of all scopes over the innermost store. */
  get activeLoads(): ActiveLoads {
    return this.#shared.activeLoads
  }

  /** Returns the scope of a prefix that is cleared by generations. */
  within(prefix: string, clock: Clock): CacheScope {
    const existing = this.#prefixes.get(prefix)?.deref()
    if (existing !== undefined) return existing
    const { innermost, lifecycle, closeStore } = this.#shared
    const generation = new Generation(innermost, prefix, clock, this.#generation)
    const generations = new GenerationStore(innermost, generation, lifecycle, closeStore)
    const store = generations as unknown as CacheStore
    const scope = new CacheScope(store, this.#shared, this.storePrefix + prefix, generation)
    this.#prefixes.set(prefix, new WeakRef(scope))
    this.#collected ??= new FinalizationRegistry((collected) => this.#forget(collected))
    this.#collected.register(scope, prefix)
    return scope
  }

  #forget(prefix: string): void {
    if (this.#prefixes.get(prefix)?.deref() === undefined) this.#prefixes.delete(prefix)
  }

  flightsOf(codec: Codec): FlightGroup {
    const existing = this.#flights.get(codec)
    if (existing !== undefined) return existing
    const flights = new FlightGroup(this.#flightGroups)
    this.#flights.set(codec, flights)
    return flights
  }

  /** Call it when the key is written: a value that is being loaded for it will not be stored, but later ones are. */
  invalidateLoads(key: string): void {
    this.hitForMiss.delete(key)
    for (const flights of this.#flightGroups.all) flights.invalidate(key)
  }

  /** The same for every key that begins with `prefix`, also in the scopes below this one. */
  invalidateAllLoads(prefix: string): void {
    // Also of other keys: to try them again costs each a request.
    this.hitForMiss.clear()
    for (const flights of this.#flightGroups.all) flights.invalidateAll(prefix)
    for (const [inner, scope] of this.#prefixes) {
      if (inner.startsWith(prefix)) scope.deref()?.invalidateAllLoads('')
    }
  }

  /** Call it when another process has cleared `prefix`: the ids of its generations are read again. */
  expireGenerations(prefix: string): void {
    this.#generation?.expire()
    for (const [inner, scope] of this.#prefixes) {
      if (prefix === '') scope.deref()?.expireGenerations('')
      else if (prefix.startsWith(inner)) {
        scope.deref()?.expireGenerations(prefix.slice(inner.length))
      }
    }
  }

  /**
   * The writes of loaded values, and of values with tags, that are in flight for keys that begin with `prefix`, and for
   * those of the prefixes below.
   */
  writesInFlight(prefix: string): Promise<unknown>[] {
    const writes: Promise<unknown>[] = []
    this.#collectWrites(prefix, writes)
    return writes
  }

  #collectWrites(prefix: string, writes: Promise<unknown>[]): void {
    for (const flights of this.#flightGroups.all) writes.push(...flights.writeBacks(prefix))
    if (!this.order.isIdle) writes.push(this.order.settled(prefix))
    for (const [inner, scope] of this.#prefixes) {
      const below = inner.startsWith(prefix) ? scope.deref() : undefined
      if (below !== undefined) below.#collectWrites('', writes)
    }
  }

  /** Aborts the loads and waits for the calls in flight, also those that wait for others, then closes the store for all caches over it. */
  async close(): Promise<void> {
    const { name } = this.store
    const { lifecycle, closeStore } = this.#shared
    const message = `${name} remember failed: close() was called. Create caches once per process, and close them last.`
    await this.activeLoads.close(new CacheError('ERR_CACHE_CLOSED', message, { store: name }))
    // Calls that wait for earlier ones have not reached the store yet.
    if (!this.order.isIdle) await this.order.settled('')
    await lifecycle.close(closeStore)
  }
}
