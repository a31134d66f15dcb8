import type { AnyStore, Awaitable, ReadOptions } from '../store.ts'
import type { BackendTime } from '../time/backend-time.ts'
import type { Codec } from '../values/codec.ts'
import { isChangeMark, isMark } from '../values/mark.ts'
import { type DecodedItem, storedItem } from '../values/stored-entries.ts'
import { valuesOf } from '../wrappers/batch-error.ts'
import { StoreDecorator } from '../wrappers/store-decorator.ts'
import type { NearCache } from './near-cache.ts'
import { NearReads } from './near-reads.ts'

export interface NearStoreConfig {
  readonly store: AnyStore
  readonly near: NearCache
  /** What the store adds to its keys, without the ids of generations. */
  readonly storePrefix: string
  /** Decodes the items. Without one, reads return them as the store does. */
  readonly codec: Codec | undefined
  readonly time: Pick<BackendTime, 'peek'>
}

/**
 * A store behind a near cache. Reads without an explicit consistency are served from it: with a codec they return a
 * {@link DecodedItem}, without one the item. Writes drop the key before and after the write, and are announced to the
 * other processes; they never fill the near cache.
 */
export class NearStore extends StoreDecorator {
  readonly #codec: Codec | undefined
  readonly #time: Pick<BackendTime, 'peek'>
  readonly #near: NearCache
  readonly #storePrefix: string
  readonly #reads: NearReads

  constructor(config: NearStoreConfig) {
    const { store, near, storePrefix, codec, time } = config
    super(store)
    this.#codec = codec
    this.#time = time
    this.#near = near
    this.#storePrefix = storePrefix
    this.#reads = new NearReads(store, near, storePrefix, codec)
  }

  override get(key: string, options?: ReadOptions): Awaitable<unknown> {
    if (options?.consistency !== undefined) return this.inner.get(key, options)
    const found = this.#find(key)
    if (found !== undefined) return this.#result(found)
    const read = this.#reads.read(key)
    return read instanceof Promise ? read.then((item) => this.#result(item)) : this.#result(read)
  }

  override getMany(keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> {
    if (options?.consistency !== undefined) return this.inner.getMany(keys, options)
    const found = keys.map((key) => this.#find(key))
    const missing = keys.filter((_, index) => found[index] === undefined)
    if (missing.length === 0) return found.map((item) => this.#result(item))
    return this.#readMissing(found, missing)
  }

  override set(key: string, item: unknown, ttl?: number): Awaitable<void> {
    return this.#write([key], () => this.inner.set(key, storedItem(item), ttl))
  }

  override setMany(
    entries: readonly (readonly [string, unknown])[],
    ttl?: number,
  ): Awaitable<void> {
    const keys = entries.map(([key]) => key)
    return this.#write(keys, () => this.inner.setMany(entries, ttl))
  }

  override add(key: string, item: unknown, ttl?: number): Awaitable<boolean> {
    const mayChange = isAnnounced(item) ? isTrue : never
    return this.#write([key], () => this.inner.add(key, item, ttl), mayChange)
  }

  override compareAndSet(
    key: string,
    expected: unknown,
    next: unknown,
    ttl?: number,
  ): Awaitable<boolean> {
    const seen = storedItem(expected)
    const readsAsMiss = isMark(seen) && (next === undefined || !isAnnounced(next))
    return this.#write(
      [key],
      () => this.inner.compareAndSet(key, seen, next, ttl),
      readsAsMiss ? never : isTrue,
    )
  }

  override increment(key: string, by: number, ttl?: number): Awaitable<number> {
    return this.#write([key], () => this.inner.increment(key, by, ttl))
  }

  override touch(key: string, ttl?: number): Awaitable<boolean> {
    return this.#write([key], () => this.inner.touch(key, ttl), isTrue)
  }

  override delete(key: string): Awaitable<boolean> {
    return this.#write([key], () => this.inner.delete(key))
  }

  override deleteMany(keys: readonly string[]): Awaitable<number> {
    return this.#write(keys, () => this.inner.deleteMany(keys))
  }

  override async clear(): Promise<void> {
    this.#near.dropPrefix(this.#storePrefix)
    try {
      await this.inner.clear()
    } finally {
      this.#near.endClear(this.#storePrefix)
    }
  }

  /** An entry of another codec is not returned, nor a stale one: another process may have refreshed it. */
  #find(key: string): DecodedItem | undefined {
    const item = this.#near.find(this.#storePrefix + key)
    if (item === undefined || item.codec !== this.#codec) return undefined
    return item.freshUntil === undefined || this.#isFresh(item.freshUntil) ? item : undefined
  }

  #isFresh(until: number): boolean {
    const now = this.#time.peek()
    return now !== undefined && now < until
  }

  #result(item: unknown): unknown {
    return this.#codec === undefined ? storedItem(item) : item
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
    const nearKeys = keys.map((key) => this.#storePrefix + key)
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

/**
 * Whether an item that replaces nothing or a mark may change what reads return. A mark does not, except that of a change:
 * another process may still have what the backend has evicted.
 */
function isAnnounced(item: unknown): boolean {
  return !isMark(item) || isChangeMark(item)
}

const always = () => true
const never = () => false
const isTrue = (result: boolean) => result
