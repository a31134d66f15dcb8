import type { Awaitable, ReadOptions, StoreLimits } from '../store.ts'
import type { BackendTime } from '../time/backend-time.ts'
import type { Codec } from '../values/codec.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { type DecodedItem, storedItem } from '../values/items/decoded-item.ts'
import { isMark } from '../values/mark.ts'
import { valuesOf } from '../wrappers/batch-error.ts'
import type { NearCache } from './near-cache.ts'
import { NearReads } from './near-reads.ts'

export interface NearStoreConfig {
  readonly store: AnyStore
  readonly near: NearCache
  /** What the store adds to its keys, without the ids of generations. */
  readonly keyPrefix: string
  /** Decodes the items. Without one, reads return them as the store does. */
  readonly codec: Codec | undefined
  readonly time: Pick<BackendTime, 'current'>
}

/**
 * A store behind a near cache. Reads without an explicit consistency are served from it: with a codec they return a
 * {@link DecodedItem}, without one the item. Writes drop the key before and after the write, and are announced to the
 * other processes; they never fill the near cache.
 */
export class NearStore implements AnyStore {
  readonly name: string
  readonly payload: 'bytes' | 'entry'
  readonly durable: boolean
  readonly processLocal: boolean
  readonly scan?: (prefix: string) => AsyncIterable<readonly string[]>
  readonly time?: () => Awaitable<number>
  readonly getWithTtl?: NonNullable<AnyStore['getWithTtl']>
  readonly #config: NearStoreConfig
  readonly #store: AnyStore
  readonly #near: NearCache
  readonly #keyPrefix: string
  readonly #reads: NearReads

  constructor(config: NearStoreConfig) {
    const { store, near, keyPrefix, codec } = config
    this.name = store.name
    this.payload = store.payload
    this.durable = store.durable === true
    this.processLocal = store.processLocal === true
    if (store.scan !== undefined) this.scan = store.scan.bind(store)
    if (store.time !== undefined) this.time = store.time.bind(store)
    if (store.getWithTtl !== undefined) this.getWithTtl = store.getWithTtl.bind(store)
    this.#config = config
    this.#store = store
    this.#near = near
    this.#keyPrefix = keyPrefix
    this.#reads = new NearReads(store, near, keyPrefix, codec)
  }

  get limits(): StoreLimits {
    return this.#store.limits
  }

  get(key: string, options?: ReadOptions): Awaitable<unknown> {
    if (options?.consistency !== undefined) return this.#store.get(key, options)
    const found = this.#find(key)
    if (found !== undefined) return this.#result(found)
    const read = this.#reads.read(key)
    return read instanceof Promise ? read.then((item) => this.#result(item)) : this.#result(read)
  }

  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> {
    if (options?.consistency !== undefined) return this.#store.getMany(keys, options)
    const found = keys.map((key) => this.#find(key))
    const missing = keys.filter((_, index) => found[index] === undefined)
    if (missing.length === 0) return found.map((item) => this.#result(item))
    return this.#readMissing(found, missing)
  }

  set(key: string, item: unknown, ttl?: number): Awaitable<void> {
    return this.#write([key], () => this.#store.set(key, storedItem(item), ttl))
  }

  setMany(entries: readonly (readonly [string, unknown])[], ttl?: number): Awaitable<void> {
    const keys = entries.map(([key]) => key)
    return this.#write(keys, () => this.#store.setMany(entries, ttl))
  }

  add(key: string, item: unknown, ttl?: number): Awaitable<boolean> {
    const mayChange = isMark(item) ? never : isTrue
    return this.#write([key], () => this.#store.add(key, item, ttl), mayChange)
  }

  compareAndSet(key: string, expected: unknown, next: unknown, ttl?: number): Awaitable<boolean> {
    const seen = storedItem(expected)
    const readsAsMiss = isMark(seen) && (next === undefined || isMark(next))
    return this.#write(
      [key],
      () => this.#store.compareAndSet(key, seen, next, ttl),
      readsAsMiss ? never : isTrue,
    )
  }

  increment(key: string, by: number, ttl?: number): Awaitable<number> {
    return this.#write([key], () => this.#store.increment(key, by, ttl))
  }

  touch(key: string, ttl?: number): Awaitable<boolean> {
    return this.#write([key], () => this.#store.touch(key, ttl), isTrue)
  }

  delete(key: string): Awaitable<boolean> {
    return this.#write([key], () => this.#store.delete(key))
  }

  deleteMany(keys: readonly string[]): Awaitable<number> {
    return this.#write(keys, () => this.#store.deleteMany(keys))
  }

  async clear(): Promise<void> {
    this.#near.dropPrefix(this.#keyPrefix)
    try {
      await this.#store.clear()
    } finally {
      this.#near.endClear(this.#keyPrefix)
    }
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

  /** An entry of another codec is not returned, nor a stale one: another process may have refreshed it. */
  #find(key: string): DecodedItem | undefined {
    const item = this.#near.find(this.#keyPrefix === '' ? key : this.#keyPrefix + key)
    if (item === undefined || item.codec !== this.#config.codec) return undefined
    const { freshUntil } = item
    if (freshUntil === undefined) return item
    const now = this.#config.time.current()
    return now !== undefined && now < freshUntil ? item : undefined
  }

  #result(item: unknown): unknown {
    return this.#config.codec === undefined ? storedItem(item) : item
  }

  /** @param found what the near cache contains, in the order of the keys of the call */
  async #readMissing(
    found: readonly (DecodedItem | undefined)[],
    missing: readonly string[],
  ): Promise<unknown[]> {
    const read = await this.#reads.readMany(missing)
    let next = 0
    const outcomes = found.map((item) =>
      item === undefined
        ? (read[next++] as PromiseSettledResult<unknown>)
        : { status: 'fulfilled' as const, value: item },
    )
    return valuesOf(outcomes).map((item) => this.#result(item))
  }

  /** @param mayChange whether a write with this result may have changed what reads return. A failed one may. */
  #write<T>(
    keys: readonly string[],
    call: () => Awaitable<T>,
    mayChange: (result: T) => boolean = always,
  ): Awaitable<T> {
    const nearKeys = keys.map((key) => this.#keyPrefix + key)
    this.#near.drop(nearKeys)
    const end = (result: T) => {
      this.#near.drop(nearKeys)
      if (mayChange(result)) this.#near.announce(nearKeys)
      return result
    }
    const fail = (error: unknown) => {
      this.#near.drop(nearKeys)
      this.#near.announce(nearKeys)
      throw error
    }
    try {
      const result = call()
      return result instanceof Promise ? result.then(end, fail) : end(result)
    } catch (error) {
      return fail(error)
    }
  }
}

const always = () => true
const never = () => false
const isTrue = (result: boolean) => result
