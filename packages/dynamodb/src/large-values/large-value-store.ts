import {
  type Awaitable,
  type ByteStore,
  CacheError,
  type Payload,
  type ReadOptions,
  type StoreLimits,
} from '@stowage/core'
import { Lifecycle } from '@stowage/core/driver'
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
      const stored = await this.#store.getMany(keys, options)
      return Promise.all(keys.map((key, index) => this.#values.decode(key, stored[index], options)))
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
        const chunks = await this.#chunks.keysFor([key])
        if (await this.#chunks.touch(chunks, ttl)) return this.#store.touch(key, ttl)
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

  async #setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    const unique = new Map(entries)
    const replaced = await this.#chunkKeysFor([...unique.keys()])
    const encoded: [key: string, stored: Payload][] = []
    const failed: { key: string; error: unknown }[] = []
    const encode = async ([key, payload]: [string, Payload]) =>
      this.#values.encode('setMany', key, payload, ttl).then(
        (stored) => encoded.push([key, stored]),
        (error: unknown) => failed.push({ key, error }),
      )
    await Promise.all(Array.from(unique, encode))
    if (failed.length === 0) await this.#store.setMany(encoded, ttl)
    else {
      const written = encoded.flatMap(([key, stored]) => chunkKeys(key, stored))
      await this.#chunks.deleteUnreferenced(written)
    }
    await this.#deleteMany(failed.filter(({ error }) => isLimit(error)).map(({ key }) => key))
    for (const { error } of failed) throw error
    await this.#chunks.deleteUnreferenced(replaced)
  }

  async #delete(key: string): Promise<boolean> {
    if (!this.#usesChunks) return this.#store.delete(key)
    const { deleted, payload } = await this.#store.getAndDelete(key)
    await this.#chunks.deleteUnreferenced(chunkKeys(key, payload))
    return deleted
  }

  async #deleteMany(keys: readonly string[]): Promise<number> {
    if (keys.length === 0) return 0
    const deleted = await this.#chunkKeysFor(keys)
    const count = await this.#store.deleteMany(keys)
    await this.#chunks.deleteUnreferenced(deleted)
    return count
  }

  async *#withoutChunks(pages: AsyncIterable<readonly string[]>) {
    for await (const page of pages) yield page.filter((key) => !isChunkKey(key))
  }

  /** The keys of the chunks that become unreferenced when these keys are written or deleted. */
  async #chunkKeysFor(keys: readonly string[]): Promise<string[]> {
    return this.#usesChunks ? this.#chunks.keysFor(keys) : []
  }
}

function isLimit(error: unknown): boolean {
  return CacheError.is(error) && error.code === 'ERR_CACHE_LIMIT'
}
