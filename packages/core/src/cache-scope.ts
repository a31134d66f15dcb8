import { GenerationStore } from './generations/generation-store.ts'
import { KeyedQueue } from './loading/keyed-queue.ts'
import { SingleFlight } from './loading/single-flight.ts'
import type { CacheStore } from './store.ts'
import type { Clock } from './time/clock.ts'
import { Lifecycle } from './time/lifecycle.ts'
import type { Codec } from './values/codec.ts'
import type { AnyStore } from './values/entry-codec.ts'

const scopes = new WeakMap<CacheStore, CacheScope>()

/**
 * What all caches over one store share in this process, so that two `Cache` objects behave as one: the flights of
 * `remember`, the queues of updates and the generation. A prefix on a store that cannot list keys is a scope of its own.
 */
export class CacheScope {
  /** The store that caches of this scope use. */
  readonly store: CacheStore
  /** The calls of `update`, `replace` and `pull` of one key run one after another. */
  readonly updates: KeyedQueue = new KeyedQueue()
  readonly #lifecycle: Lifecycle
  readonly #closeStore: () => Promise<void>
  /** Caches that share a codec share their flights. */
  readonly #flights = new Map<Codec, SingleFlight>()
  /** The scopes of prefixes below this one, as long as a cache uses them. */
  readonly #prefixes = new Map<string, WeakRef<CacheScope>>()
  readonly #collected = new FinalizationRegistry<string>((prefix) => {
    if (this.#prefixes.get(prefix)?.deref() === undefined) this.#prefixes.delete(prefix)
  })

  private constructor(store: CacheStore, lifecycle: Lifecycle, closeStore: () => Promise<void>) {
    this.store = store
    this.#lifecycle = lifecycle
    this.#closeStore = closeStore
    scopes.set(store, this)
  }

  /** The scope of a store, the same one for every cache over it. */
  static of(store: CacheStore): CacheScope {
    return (
      scopes.get(store) ?? new CacheScope(store, new Lifecycle(store.name), () => store.close())
    )
  }

  /** The scope of a prefix that is cleared by generations. */
  within(prefix: string, clock: Clock): CacheScope {
    const known = this.#prefixes.get(prefix)?.deref()
    if (known !== undefined) return known
    const inner = this.store as unknown as AnyStore
    const store = new GenerationStore(inner, prefix, clock, this.#lifecycle, this.#closeStore)
    const scope = new CacheScope(store as unknown as CacheStore, this.#lifecycle, this.#closeStore)
    this.#prefixes.set(prefix, new WeakRef(scope))
    this.#collected.register(scope, prefix)
    return scope
  }

  flightsOf(codec: Codec): SingleFlight {
    const known = this.#flights.get(codec)
    if (known !== undefined) return known
    const flights = new SingleFlight()
    this.#flights.set(codec, flights)
    return flights
  }

  /** The key has been written: what is being loaded for it is not stored. */
  invalidate(key: string): void {
    for (const flights of this.#flights.values()) flights.invalidate(key)
  }

  /** The same for every key that begins with `keyPrefix`, and for the prefixes below this scope. */
  invalidateAll(keyPrefix: string): void {
    for (const flights of this.#flights.values()) flights.invalidateAll(keyPrefix)
    for (const [prefix, scope] of this.#prefixes) {
      if (prefix.startsWith(keyPrefix)) scope.deref()?.invalidateAll('')
    }
  }

  /** Waits for the writes of loaded values whose keys begin with `keyPrefix`, and for those of the prefixes below. */
  async awaitWriteBacks(keyPrefix: string): Promise<void> {
    const writes = [...this.#flights.values()].flatMap((flights) => flights.writeBacks(keyPrefix))
    const scopes = [...this.#prefixes].flatMap(([prefix, scope]) =>
      prefix.startsWith(keyPrefix) ? (scope.deref()?.awaitWriteBacks('') ?? []) : [],
    )
    await Promise.allSettled([...writes, ...scopes])
  }

  /** Waits for the calls in flight, then closes the store for all caches over it. */
  close(): Promise<void> {
    return this.#lifecycle.close(this.#closeStore)
  }
}
