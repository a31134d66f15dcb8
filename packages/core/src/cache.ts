import { CacheError } from './errors.ts'
import { Keyspace, namespacePrefix } from './keys.ts'
import { KeyedQueue } from './loading/keyed-queue.ts'
import { loadOnce, loadWithoutStore } from './loading/remember.ts'
import { conflict, retryOnConflict } from './loading/retry-on-conflict.ts'
import { SingleFlight } from './loading/single-flight.ts'
import type { Awaitable, CacheStore, ReadOptions } from './store.ts'
import { type Clock, systemClock } from './time/clock.ts'
import { type Duration, defaultTtl, resolveTtl, type Ttl } from './time/duration.ts'
import { type Codec, json } from './values/codec.ts'
import { EntryCodec } from './values/entry-codec.ts'
import { withGenerations } from './wrappers/with-generations.ts'

const keptNamespaces = 1_000
/** For a value that decides what is written: a copy that lags behind would only cause conflicts. */
const current: ReadOptions = { consistency: 'strong' }

export interface CacheOptions {
  /** Names the cache in events. @default the store's name */
  readonly name?: string | undefined
  /**
   * Put in front of every key; `clear()` and `keys()` stay within it. End it with a separator: `user` would contain
   * `user2`.
   * @default ''
   */
  readonly prefix?: string | undefined
  /** How long entries live when a call does not say. `null` is for ever. @default null */
  readonly ttl?: Duration | null | undefined
  /** How values become bytes. A store that keeps entries by reference needs none. @default json() */
  readonly codec?: Codec | undefined
  /** @default systemClock */
  readonly clock?: Clock | undefined
}

export interface WriteOptions {
  /** How long the entry lives. @default the cache's ttl */
  readonly ttl?: Ttl | undefined
}

/**
 * The cache an application talks to. It decides the key, the ttl and what a value means; the store behind
 * it decides how its backend does it. Every method rejects with a `CacheError`, or with a `TypeError`
 * where the call itself is wrong.
 */
export class Cache {
  readonly name: string
  readonly #options: CacheOptions
  readonly #store: CacheStore
  readonly #keys: Keyspace
  readonly #entries: EntryCodec
  readonly #ttl: number | undefined
  readonly #clock: Clock
  readonly #flights = new SingleFlight()
  readonly #updates = new KeyedQueue()
  readonly #namespaces = new Map<string, Cache>()

  constructor(store: CacheStore, options: CacheOptions = {}) {
    const { prefix = '', ttl = null, codec = json(), clock = systemClock } = options
    this.name = options.name ?? store.name
    this.#options = options
    this.#clock = clock
    this.#ttl = defaultTtl(ttl)
    // Without a way to list keys, clearing a prefix means to forget it: a generation within the prefix.
    const forgets = prefix !== '' && store.scan === undefined
    this.#store = forgets ? withGenerations(store, prefix, clock) : store
    this.#keys = new Keyspace(forgets ? '' : prefix, this.#store.limits.keyBytes)
    this.#entries = new EntryCodec(this.#store, codec, this.name)
  }

  /** Name of the driver behind this cache. */
  get driver(): string {
    return this.#store.name
  }

  /** How long entries live when a call does not say, in milliseconds; `undefined` is for ever. */
  get ttl(): number | undefined {
    return this.#ttl
  }

  /** Whether values are kept by reference, so that who changes one changes it for all. */
  get storesByReference(): boolean {
    return this.#store.payload === 'entry'
  }

  /** The value, or `undefined` for a miss. `null` is a value. */
  async get<T = unknown>(key: string, options?: ReadOptions): Promise<T | undefined> {
    const storageKey = this.#keys.of(key)
    const found = this.#entries.store.get(storageKey, options)
    // A store that answers at once is spared the wait: it would double the cost of a hit in memory.
    return this.#entries.decode<T>(storageKey, found instanceof Promise ? await found : found)
  }

  /** The values in the order of the keys, `undefined` for each miss, in as few round trips as possible. */
  async getMany<T = unknown>(
    keys: readonly string[],
    options?: ReadOptions,
  ): Promise<(T | undefined)[]> {
    const storageKeys = keys.map((key) => this.#keys.of(key))
    const items = await this.#entries.store.getMany(storageKeys, options)
    return storageKeys.map((key, index) => this.#entries.decode<T>(key, items[index]))
  }

  /** Whether a value is there. */
  async has(key: string, options?: ReadOptions): Promise<boolean> {
    return (await this.get(key, options)) !== undefined
  }

  /** Stores the value, whatever was there. */
  async set(key: string, value: unknown, options?: WriteOptions): Promise<void> {
    const storageKey = this.#toWrite(key)
    const item = this.#entries.encode(value)
    const ttl = this.#ttlOf(options)
    if (ttl === 0) {
      await this.#store.delete(storageKey)
      return
    }
    const done = this.#entries.store.set(storageKey, item, ttl)
    if (done instanceof Promise) await done
  }

  /** Stores several values with one ttl, in as few round trips as possible. */
  async setMany(
    entries: Iterable<readonly [key: string, value: unknown]>,
    options?: WriteOptions,
  ): Promise<void> {
    const encoded = Array.from(
      entries,
      ([key, value]) => [this.#toWrite(key), this.#entries.encode(value)] as const,
    )
    const ttl = this.#ttlOf(options)
    if (ttl === 0) await this.#store.deleteMany(encoded.map(([key]) => key))
    else await this.#entries.store.setMany(encoded, ttl)
  }

  /** Stores the value only if none is there, atomically. With a ttl that is already over nothing is added. */
  async add(key: string, value: unknown, options?: WriteOptions): Promise<boolean> {
    const storageKey = this.#toWrite(key)
    const item = this.#entries.encode(value)
    const ttl = this.#ttlOf(options)
    return ttl === 0 ? false : this.#entries.store.add(storageKey, item, ttl)
  }

  /** Stores the value only if one is there already. */
  async replace(key: string, value: unknown, options?: WriteOptions): Promise<boolean> {
    const storageKey = this.#keys.of(key)
    const next = this.#entries.encode(value)
    return retryOnConflict('replace', this.#clock, async () => {
      const seen = await this.#entries.store.get(storageKey, current)
      if (this.#entries.decode(storageKey, seen) === undefined) return false
      return (await this.#swap(storageKey, seen, next, options)) ? true : conflict
    })
  }

  /**
   * Changes the value by a function of the current one (`undefined` if there is none); returns what it
   * returned. `undefined` deletes. Nothing written in between is lost: on a conflict `change` is called
   * again with the newer value, so it must have no side effects; nor may it update the same key itself.
   */
  async update<T>(
    key: string,
    change: (current: T | undefined) => Awaitable<T | undefined>,
    options?: WriteOptions,
  ): Promise<T | undefined> {
    const storageKey = this.#keys.of(key)
    const attempt = async () => {
      const seen = await this.#entries.store.get(storageKey, current)
      const next = await change(this.#entries.decode<T>(storageKey, seen))
      const item = next === undefined ? undefined : this.#entries.encode(next)
      return (await this.#swap(storageKey, seen, item, options)) ? next : conflict
    }
    // Updates of this process queue up; only those of other processes can conflict.
    return this.#updates.run(storageKey, () => retryOnConflict('update', this.#clock, attempt))
  }

  /** Returns the value and deletes it; of several who pull at once, one gets it. */
  async pull<T = unknown>(key: string): Promise<T | undefined> {
    const storageKey = this.#keys.of(key)
    return retryOnConflict('pull', this.#clock, async () => {
      const seen = await this.#entries.store.get(storageKey, current)
      const value = this.#entries.decode<T>(storageKey, seen)
      if (value === undefined) return undefined
      return (await this.#swap(storageKey, seen, undefined)) ? value : conflict
    })
  }

  /**
   * The value, or what `load` returns, which is then stored. Of all who ask at once in this process one
   * loads, and the others share its result or its failure. When the store fails, `load` still answers:
   * the failure is published on `stowage:error`. A loaded `undefined` is returned but not stored, nor is what was
   * loaded while this process wrote or deleted the key. `load` must not wait for the same key itself.
   */
  async remember<T>(key: string, options: WriteOptions, load: () => Awaitable<T>): Promise<T> {
    const storageKey = this.#keys.of(key)
    const running = this.#flights.join<T>(storageKey)
    if (running !== undefined) {
      this.#entries.share(storageKey)
      return running
    }
    let value: T | undefined
    try {
      const found = this.#entries.store.get(storageKey)
      value = this.#entries.decode(storageKey, found instanceof Promise ? await found : found)
    } catch (error) {
      return loadWithoutStore(this.#loadJob(storageKey, options, load), error)
    }
    return value === undefined ? loadOnce(this.#loadJob(storageKey, options, load)) : value
  }

  /**
   * Adds `by` to a counter and returns the sum, atomically. A missing counter starts at 0, and only then
   * gets the ttl: later increments neither prolong nor end it. @throws TypeError unless `by` is a safe integer
   */
  async increment(key: string, by = 1, options?: WriteOptions): Promise<number> {
    assertInteger(by)
    const ttl = this.#ttlOf(options)
    // A counter whose time is over is created and gone at once.
    return this.#store.increment(this.#toWrite(key), by, ttl === 0 ? 1 : ttl)
  }

  /** `increment` by the negative of `by`. Counters are signed: they pass zero. */
  async decrement(key: string, by = 1, options?: WriteOptions): Promise<number> {
    assertInteger(by)
    return this.increment(key, -by, options)
  }

  /** Moves the expiry, without reading or rewriting the value. Never creates. Says whether the value is there. */
  async touch(key: string, options?: WriteOptions): Promise<boolean> {
    const ttl = this.#ttlOf(options)
    const storageKey = ttl === 0 ? this.#toWrite(key) : this.#keys.of(key)
    return ttl === 0 ? this.#store.delete(storageKey) : this.#store.touch(storageKey, ttl)
  }

  /** Deletes the value. Says whether it was there. */
  async delete(key: string): Promise<boolean> {
    return this.#store.delete(this.#toWrite(key))
  }

  /** Deletes the values and returns how many were there. */
  async deleteMany(keys: readonly string[]): Promise<number> {
    return this.#store.deleteMany(keys.map((key) => this.#toWrite(key)))
  }

  /**
   * Deletes everything in this cache: the keys under its prefix, or all the store can reach where it has none.
   * Where the backend cannot list keys, the prefix is forgotten instead, which other processes notice within a second.
   */
  async clear(): Promise<void> {
    const { prefix } = this.#keys
    this.#invalidateAll()
    if (prefix === '') return this.#store.clear()
    for await (const page of this.#scan(prefix)) await this.#store.deleteMany(page)
  }

  /**
   * The keys of this cache. A key may come twice, and one shortened for the backend comes as it is stored.
   * @throws CacheError `ERR_CACHE_UNSUPPORTED` where the backend cannot list its keys
   */
  async *keys(): AsyncGenerator<string, void, undefined> {
    const { prefix } = this.#keys
    for await (const page of this.#scan(prefix)) {
      for (const key of page) yield key.slice(prefix.length)
    }
  }

  /**
   * A cache of its own within this one: `namespace('users')` puts `users:` in front of its keys and can be
   * cleared alone; clearing this cache clears it too. It shares the store, the codec and the ttl. Keep
   * keys of this cache clear of `users:`, and reach those of the namespace through it: how they are spelled in the
   * store is the driver's matter.
   */
  namespace(name: string): Cache {
    const known = this.#namespaces.get(name)
    if (known !== undefined) return known
    const prefix = this.#keys.prefix + namespacePrefix(name)
    const made = new Cache(this.#store, { ...this.#options, name: this.name, prefix })
    // Kept, so that all who ask for the name share its flights; a name per tenant must not grow for ever.
    if (this.#namespaces.size >= keptNamespaces) this.#namespaces.clear()
    this.#namespaces.set(name, made)
    return made
  }

  /**
   * A short text that stands for everything this process has written so far, for a cookie or a message to another
   * process: after {@link observe} its `'session'` reads include that. `''` where no read lags behind.
   */
  async consistencyToken(): Promise<string> {
    return (await this.#store.consistencyToken?.()) ?? ''
  }

  /** From now on reads include what the token of another process stands for. Ignores what is no token. */
  observe(token: string): void {
    this.#store.observe?.(token)
  }

  /** Resolves when the backend answers now. */
  async ping(): Promise<void> {
    await this.#store.ping()
  }

  /** Closes the store behind this cache, for all who share it. */
  async close(): Promise<void> {
    await this.#store.close()
  }

  /** The storage key of a call that changes what is there: a load under way may no longer be what it brings. */
  #toWrite(key: string): string {
    const storageKey = this.#keys.of(key)
    this.#flights.invalidate(storageKey)
    return storageKey
  }

  #invalidateAll(): void {
    this.#flights.invalidateAll()
    for (const namespace of this.#namespaces.values()) namespace.#invalidateAll()
  }

  #ttlOf(options: WriteOptions | undefined): number | undefined {
    const ttl = options?.ttl
    return ttl === undefined ? this.#ttl : resolveTtl(ttl, this.#clock)
  }

  /** Replaces what was seen by `next`, or deletes it, unless it has changed; nothing seen means "only if still absent". */
  async #swap(key: string, seen: unknown, next: unknown, options?: WriteOptions): Promise<boolean> {
    const { store } = this.#entries
    this.#flights.invalidate(key)
    const ttl = this.#ttlOf(options)
    const kept = ttl === 0 ? undefined : next
    if (seen !== undefined) return store.compareAndSet(key, seen, kept, ttl)
    return kept === undefined ? true : store.add(key, kept, ttl)
  }

  #loadJob<T>(key: string, options: WriteOptions, load: () => Awaitable<T>) {
    const ttl = () => this.#ttlOf(options)
    return { entries: this.#entries, flights: this.#flights, key, ttl, load }
  }

  #scan(prefix: string): AsyncIterable<readonly string[]> {
    const pages = this.#store.scan?.(prefix)
    if (pages !== undefined) return pages
    throw new CacheError(
      'ERR_CACHE_UNSUPPORTED',
      `The ${this.#store.name} store cannot list its keys. Keep a list of your own under a key, or use another driver.`,
      { store: this.#store.name, operation: 'scan' },
    )
  }
}

function assertInteger(by: number): void {
  if (!Number.isSafeInteger(by)) throw new TypeError(`Not a safe integer: ${String(by)}`)
}
