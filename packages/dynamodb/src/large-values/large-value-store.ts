import {
  type Awaitable,
  CacheError,
  type Payload,
  type ReadOptions,
  type StoreLimits,
} from '@stowage/core'
import type { ByteStore, ItemWithTtl } from '@stowage/core/driver'
import { Lifecycle } from '@stowage/core/driver'
import { BatchOutcomes } from '../batch-outcomes.ts'
import type { LargeValueOptions } from '../dynamodb-options.ts'
import type { DynamoDBStore } from '../dynamodb-store.ts'
import { Chunks, chunkKeys, isChunkKey } from './chunks.ts'
import { StoredValues } from './stored-values.ts'

/** Attempts to touch a value that is replaced each time while its chunks are touched. */
const maxTouches = 3

/**
 * Stores values larger than an item: compressed, and split into chunks with keys of their own. The manifest, which
 * references the chunks, is written last and under the key itself, so every operation is as atomic as it is for a single
 * item. Replaced chunks are deleted; if that fails they stay until their ttl ends.
 */
export class LargeValueStore implements ByteStore {
  readonly name = 'dynamodb'
  readonly payload = 'bytes'
  readonly durable = true
  readonly limits: StoreLimits
  readonly scan?: NonNullable<ByteStore['scan']>
  readonly #store: DynamoDBStore
  readonly #usesChunks: boolean
  readonly #chunks: Chunks
  readonly #values: StoredValues
  readonly #lifecycle = new Lifecycle('dynamodb')

  constructor(store: DynamoDBStore, options: LargeValueOptions) {
    this.limits = { ...store.limits, valueBytes: options.maxValueBytes }
    this.#store = store
    this.#usesChunks = options.chunks
    this.#chunks = new Chunks(store)
    this.#values = new StoredValues(store, this.#chunks, options)
    const { scan } = store
    if (scan !== undefined) this.scan = (prefix) => this.#withoutChunks(scan(prefix))
  }

  get(key: string, options?: ReadOptions): Promise<Payload | undefined> {
    return this.#lifecycle.run('get', async () =>
      this.#values.decode(key, await this.#store.get(key, options), options),
    )
  }

  getMany(keys: readonly string[], options?: ReadOptions): Promise<(Payload | undefined)[]> {
    return this.#lifecycle.run('getMany', async () => {
      const outcomes = await this.#getDecoded(keys, options)
      return outcomes.resultsOf(keys, (found) => found?.item)
    })
  }

  getWithTtl(
    keys: readonly string[],
    options?: ReadOptions,
  ): Promise<(ItemWithTtl<Payload> | undefined)[]> {
    return this.#lifecycle.run('getWithTtl', async () => {
      const outcomes = await this.#getDecoded(keys, options)
      return outcomes.resultsOf(keys, (found) => found)
    })
  }

  set(key: string, payload: Payload, ttl?: number): Promise<void> {
    return this.#lifecycle.run('set', () => this.#set(key, payload, ttl))
  }

  setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    return this.#lifecycle.run('setMany', () => this.#setMany(entries, ttl))
  }

  add(key: string, payload: Payload, ttl?: number): Promise<boolean> {
    return this.#lifecycle.run('add', async () => {
      const encoded = await this.#values.encode('add', key, payload, ttl)
      const added = await this.#store.add(key, encoded, ttl)
      if (!added) await this.#chunks.deleteUnreferenced(chunkKeys(key, encoded))
      return added
    })
  }

  compareAndSet(key: string, expected: Payload, next?: Payload, ttl?: number): Promise<boolean> {
    return this.#lifecycle.run('compareAndSet', async () => {
      if (next !== undefined) this.#values.assertFits('compareAndSet', key, next)
      const stored = await this.#values.storedFormOf(key, expected)
      if (stored === undefined) return false
      const encoded =
        next === undefined ? next : await this.#values.encode('compareAndSet', key, next, ttl)
      const replaced = await this.#store.compareAndSet(key, stored, encoded, ttl)
      await this.#chunks.deleteUnreferenced(chunkKeys(key, replaced ? stored : encoded))
      return replaced
    })
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#lifecycle.run('increment', () => this.#store.increment(key, by, ttl))
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    return this.#lifecycle.run('touch', async () => {
      if (!this.#usesChunks) return this.#store.touch(key, ttl)
      for (let touches = 1; touches <= maxTouches; touches++) {
        // Chunks first: they must not expire before their manifest.
        const chunks = await this.#chunks.keysByKey([key])
        const isComplete = await this.#chunks.touch([...chunks.values()].flat(), ttl)
        if (isComplete) return this.#store.touch(key, ttl)
      }
      return false
    })
  }

  delete(key: string): Promise<boolean> {
    return this.#lifecycle.run('delete', () => this.#delete(key))
  }

  deleteMany(keys: readonly string[]): Promise<number> {
    return this.#lifecycle.run('deleteMany', () => this.#deleteMany(keys))
  }

  clear(): Promise<void> {
    return this.#lifecycle.run('clear', () => this.#store.clear())
  }

  ping(): Promise<void> {
    return this.#lifecycle.run('ping', () => this.#store.ping())
  }

  time(): Promise<number> {
    return this.#lifecycle.run('time', () => this.#store.time())
  }

  consistencyToken(): Awaitable<string> {
    return this.#store.consistencyToken()
  }

  observe(token: string): void {
    this.#store.observe(token)
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => this.#store.close())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #set(key: string, payload: Payload, ttl?: number): Promise<void> {
    try {
      const encoded = await this.#values.encode('set', key, payload, ttl)
      if (!this.#usesChunks) return await this.#store.set(key, encoded, ttl)
      const previous = await this.#store.getAndSet(key, encoded, ttl)
      // If the reply to a first attempt was lost, the second attempt replaced this same value.
      const own = new Set(chunkKeys(key, encoded))
      const replaced = chunkKeys(key, previous).filter((chunkKey) => !own.has(chunkKey))
      await this.#chunks.deleteUnreferenced(replaced)
    } catch (error) {
      // The old value must not be served after an attempt to replace it.
      if (isLimit(error)) await this.#delete(key)
      throw error
    }
  }

  /** The outcomes of the keys, with decoded values. */
  async #getDecoded(keys: readonly string[], options?: ReadOptions) {
    const outcomes = new BatchOutcomes<ItemWithTtl<Payload>>()
    const unique = [...new Set(keys)]
    const stored = await this.#store.getWithTtl(unique, options).catch((error: unknown) => {
      outcomes.addRejection(unique, error)
      return resultsIn(error)
    })
    const decode = async (key: string, found: ItemWithTtl<Payload>) => {
      const item = await this.#values.decode(key, found.item, options)
      if (item !== undefined) outcomes.succeeded(key, { item, ttl: found.ttl })
    }
    await Promise.all(
      unique.map(async (key, index) => {
        const found = stored[index]
        if (found === undefined) return
        await decode(key, found).catch((error) => outcomes.addRejection([key], error))
      }),
    )
    return outcomes
  }

  async #setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    const unique = new Map(entries)
    const outcomes = new BatchOutcomes()
    const replaced = await this.#chunkKeysFor([...unique.keys()])
    const encoded = new Map<string, Payload>()
    const encode = async ([key, payload]: [string, Payload]) =>
      this.#values.encode('setMany', key, payload, ttl).then(
        (stored) => void encoded.set(key, stored),
        (error: unknown) => outcomes.addRejection([key], error),
      )
    await Promise.all(Array.from(unique, encode))
    const keys = [...encoded.keys()]
    await this.#store
      .setMany([...encoded], ttl)
      .catch((error: unknown) => outcomes.addRejection(keys, error))
    await this.#cleanUp(encoded, replaced, outcomes)
    outcomes.resultsOf(
      entries.map(([key]) => key),
      () => undefined,
    )
  }

  /** Deletes chunks that no manifest references after a `setMany`, and the old values of oversized ones. */
  async #cleanUp(
    encoded: ReadonlyMap<string, Payload>,
    replaced: ReadonlyMap<string, readonly string[]>,
    { errors }: BatchOutcomes,
  ): Promise<void> {
    const oversized = [...errors.keys()].filter((key) => isLimit(errors.get(key)))
    await this.#deleteMany(oversized)
    const stored = [...encoded.keys()].filter((key) => !errors.has(key))
    await this.#chunks.deleteUnreferenced(stored.flatMap((key) => replaced.get(key) ?? []))
    // The outcome of a write that timed out is unknown: its manifest may have been stored.
    const unwritten = [...encoded].filter(([key]) => errors.get(key)?.retryable === false)
    const unreferenced = unwritten.flatMap(([key, payload]) => chunkKeys(key, payload))
    await this.#chunks.deleteUnreferenced(unreferenced)
  }

  async #delete(key: string): Promise<boolean> {
    if (!this.#usesChunks) return this.#store.delete(key)
    const { deleted, payload } = await this.#store.getAndDelete(key)
    await this.#chunks.deleteUnreferenced(chunkKeys(key, payload))
    return deleted
  }

  async #deleteMany(keys: readonly string[]): Promise<number> {
    if (keys.length === 0) return 0
    const chunks = await this.#chunkKeysFor(keys)
    try {
      const count = await this.#store.deleteMany(keys)
      await this.#chunks.deleteUnreferenced([...chunks.values()].flat())
      return count
    } catch (error) {
      const outcomes = new BatchOutcomes()
      outcomes.addRejection(keys, error)
      const deleted = keys.filter((key) => !outcomes.errors.has(key))
      await this.#chunks.deleteUnreferenced(deleted.flatMap((key) => chunks.get(key) ?? []))
      throw error
    }
  }

  async *#withoutChunks(pages: AsyncIterable<readonly string[]>) {
    for await (const page of pages) yield page.filter((key) => !isChunkKey(key))
  }

  /** By key, the keys of the chunks that become unreferenced when it is written or deleted. */
  async #chunkKeysFor(keys: readonly string[]): Promise<Map<string, string[]>> {
    return this.#usesChunks ? this.#chunks.keysByKey(keys) : new Map()
  }
}

/** The results of the keys that were read although others failed. A rejected outcome has no value. */
function resultsIn(error: unknown): (ItemWithTtl<Payload> | undefined)[] {
  const { outcomes = [] } = error as { outcomes?: readonly { value?: ItemWithTtl<Payload> }[] }
  return outcomes.map(({ value }) => value)
}

function isLimit(error: unknown): boolean {
  return CacheError.is(error) && error.code === 'ERR_CACHE_LIMIT'
}
