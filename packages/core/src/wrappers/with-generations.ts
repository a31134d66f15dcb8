import { CacheError } from '../errors.ts'
import type { Awaitable, CacheStore, Payload, ReadOptions, StoreLimits } from '../store.ts'
import type { Clock } from '../time/clock.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { toText } from '../values/payload.ts'

/** How long a process uses a generation before it reads it again, and thus notices the `clear` of another process. */
const refreshMs = 1_000
const idBytes = 12 // 16 characters in base64url

/**
 * Confines a store that cannot list its keys to a prefix. Every key contains the current generation, a random id that
 * is stored under its own key. `clear()` replaces the id: this takes constant time and affects no key outside the
 * prefix. The items of earlier generations remain until they expire or are evicted.
 *
 * The id is stored on one node, and the items on other nodes must survive the loss of that node. A process that has
 * read the id therefore keeps using it while it is unreadable, and stores it again if it is missing. If no process has
 * read the id, a new random one is created, which can only cause misses.
 */
export function withGenerations<S extends CacheStore>(store: S, prefix: string, clock: Clock): S {
  const inner = store as unknown as AnyStore
  return new GenerationStore(inner, prefix, clock) as unknown as S
}

interface Generation {
  readonly id: string
  readonly readAt: number
  /** Whether the last read succeeded. */
  readonly confirmed: boolean
}

class GenerationStore implements AnyStore {
  readonly name: string
  readonly payload: 'bytes' | 'entry'
  readonly limits: StoreLimits
  readonly #store: AnyStore
  readonly #prefix: string
  readonly #clock: Clock
  #current: Generation | undefined
  #refreshing: Promise<string> | undefined
  /** Incremented by each `clear` of this process: an id that was read before it must not be used after it. */
  #clearCount = 0

  constructor(store: AnyStore, prefix: string, clock: Clock) {
    this.name = store.name
    this.payload = store.payload
    const prefixBytes = Buffer.byteLength(prefix) + `${newId()}:`.length
    this.limits = { ...store.limits, keyBytes: store.limits.keyBytes - prefixBytes }
    this.#store = store
    this.#prefix = prefix
    this.#clock = clock
  }

  get(key: string, options?: ReadOptions): Awaitable<unknown> {
    return this.#withPrefix((prefix) => this.#store.get(prefix + key, options))
  }

  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> {
    return this.#withPrefix((prefix) =>
      this.#store.getMany(
        keys.map((key) => prefix + key),
        options,
      ),
    )
  }

  set(key: string, item: unknown, ttl?: number): Awaitable<void> {
    return this.#withPrefix((prefix) => this.#store.set(prefix + key, item, ttl))
  }

  setMany(entries: readonly (readonly [string, unknown])[], ttl?: number): Awaitable<void> {
    return this.#withPrefix((prefix) =>
      this.#store.setMany(
        entries.map(([key, item]) => [prefix + key, item] as const),
        ttl,
      ),
    )
  }

  add(key: string, item: unknown, ttl?: number): Awaitable<boolean> {
    return this.#withPrefix((prefix) => this.#store.add(prefix + key, item, ttl))
  }

  compareAndSet(key: string, expected: unknown, next: unknown, ttl?: number): Awaitable<boolean> {
    return this.#withPrefix((prefix) =>
      this.#store.compareAndSet(prefix + key, expected, next, ttl),
    )
  }

  increment(key: string, by: number, ttl?: number): Awaitable<number> {
    return this.#withPrefix((prefix) => this.#store.increment(prefix + key, by, ttl))
  }

  touch(key: string, ttl?: number): Awaitable<boolean> {
    return this.#withPrefix((prefix) => this.#store.touch(prefix + key, ttl))
  }

  delete(key: string): Awaitable<boolean> {
    return this.#withPrefix((prefix) => this.#store.delete(prefix + key))
  }

  deleteMany(keys: readonly string[]): Awaitable<number> {
    return this.#withPrefix((prefix) => this.#store.deleteMany(keys.map((key) => prefix + key)))
  }

  async clear(): Promise<void> {
    const id = newId()
    while (!(await this.#replaceId(id))) {
      // Retries: another process has changed the id in between.
    }
    this.#clearCount++
    this.#current = { id, readAt: this.#clock.now(), confirmed: true }
  }

  ping(): Awaitable<void> {
    return this.#store.ping()
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  consistencyToken(): Awaitable<string> {
    return this.#store.consistencyToken?.() ?? ''
  }

  observe(token: string): void {
    this.#store.observe?.(token)
  }

  /** Calls `call` with the prefix of the current generation, synchronously unless the id must be read first. */
  #withPrefix<T>(call: (prefix: string) => Awaitable<T>): Awaitable<T> {
    const current = this.#current
    if (current === undefined) return this.#refresh().then((id) => call(this.#prefixOf(id)))
    if (this.#clock.now() - current.readAt < refreshMs) return call(this.#prefixOf(current.id))
    const refreshing = this.#refresh()
    // If the last read failed, the call does not wait for the next one, which may fail as well.
    return current.confirmed
      ? refreshing.then((id) => call(this.#prefixOf(id)))
      : call(this.#prefixOf(current.id))
  }

  #refresh(): Promise<string> {
    this.#refreshing ??= this.#readGeneration().finally(() => {
      this.#refreshing = undefined
    })
    return this.#refreshing
  }

  async #readGeneration(): Promise<string> {
    const clearCount = this.#clearCount
    const { id, confirmed } = await this.#findOrFallBack()
    const readAt = this.#clock.now()
    if (clearCount === this.#clearCount) this.#current = { id, readAt, confirmed }
    return this.#current?.id ?? id
  }

  /** Reads the id. If that fails, falls back to the last known id. */
  async #findOrFallBack(): Promise<{ id: string; confirmed: boolean }> {
    try {
      return { id: await this.#findOrCreate(), confirmed: true }
    } catch (error) {
      if (this.#current === undefined || !CacheError.is(error)) throw error
      return { id: this.#current.id, confirmed: false }
    }
  }

  /**
   * Replaces the id only if it is the one just read. A plain `set` may appear to succeed while its node is unreachable
   * (memcached with `onNodeDown`), and would then not have cleared anything.
   */
  async #replaceId(id: string): Promise<boolean> {
    const key = this.#idKey()
    const seen = await this.#store.get(key, { consistency: 'strong' })
    return seen === undefined
      ? this.#store.add(key, this.#encodeId(id))
      : this.#store.compareAndSet(key, seen, this.#encodeId(id))
  }

  async #findOrCreate(): Promise<string> {
    const key = this.#idKey()
    for (;;) {
      // A replica that lags behind may return the old id, with which cleared items would be read again.
      const found = await this.#store.get(key, { consistency: 'strong' })
      if (found !== undefined) return this.#decodeId(found)
      const id = this.#current?.id ?? newId()
      if (await this.#store.add(key, this.#encodeId(id))) return id
    }
  }

  #prefixOf(id: string): string {
    return `${this.#prefix}${id}:`
  }

  // "~" does not occur in an id, so this key differs from every key of a generation.
  #idKey(): string {
    return `${this.#prefix}~generation`
  }

  #encodeId(id: string): unknown {
    return this.payload === 'entry' ? { value: id } : id
  }

  #decodeId(item: unknown): string {
    return this.payload === 'entry' ? (item as { value: string }).value : toText(item as Payload)
  }
}

function newId(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(idBytes))).toString('base64url')
}
