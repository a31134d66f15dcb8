import {
  type Awaitable,
  type ByteStore,
  CacheError,
  type Payload,
  type ReadOptions,
  type StoreLimits,
} from '@stowage/core'
import { Lifecycle } from '@stowage/core/driver'
import type { LargeValuesOptions } from '../dynamodb-options.ts'
import type { DynamoDBStore } from '../dynamodb-store.ts'
import { Chunks, chunkKeys, isChunkKey } from './chunks.ts'
import { KeptValues } from './stored-values.ts'

/** How often the chunks are looked for of a value that was replaced meanwhile. */
const lookups = 3

/**
 * Keeps values that are larger than what an item takes: compressed, and cut into chunks under keys of their own. What
 * names the chunks is written last and under the key itself, so that every operation stays as atomic as it is for an
 * item. Chunks that are replaced are deleted; where that fails they are left to their ttl.
 */
export class LargeValues implements ByteStore {
  readonly name = 'dynamodb'
  readonly payload = 'bytes'
  readonly limits: StoreLimits
  readonly scan?: NonNullable<ByteStore['scan']>
  readonly #store: DynamoDBStore
  readonly #hasChunks: boolean
  readonly #chunks: Chunks
  readonly #values: KeptValues
  readonly #lifecycle = new Lifecycle('dynamodb')

  constructor(store: DynamoDBStore, options: LargeValuesOptions) {
    this.limits = { ...store.limits, valueBytes: options.maxValueBytes }
    this.#store = store
    this.#hasChunks = options.chunks
    this.#chunks = new Chunks(store)
    this.#values = new KeptValues(store, this.#chunks, options)
    const { scan } = store
    if (scan !== undefined) this.scan = (prefix) => this.#list(scan(prefix))
  }

  get(key: string, options?: ReadOptions): Promise<Payload | undefined> {
    return this.#lifecycle.run('get', async () =>
      this.#values.payloadOf(key, await this.#store.get(key, options), options),
    )
  }

  getMany(keys: readonly string[], options?: ReadOptions): Promise<(Payload | undefined)[]> {
    return this.#lifecycle.run('getMany', async () => {
      const found = await this.#store.getMany(keys, options)
      return Promise.all(keys.map((key, at) => this.#values.payloadOf(key, found[at], options)))
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
      const kept = await this.#values.keep('add', key, payload, ttl)
      const added = await this.#store.add(key, kept, ttl)
      if (!added) await this.#chunks.drop(chunkKeys(key, kept))
      return added
    })
  }

  compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    return this.#lifecycle.run('compareAndSet', async () => {
      if (next !== undefined) this.#values.assertFits('compareAndSet', key, next)
      const seen = await this.#values.formOf(key, expected)
      if (seen === undefined) return false
      const kept =
        next === undefined ? next : await this.#values.keep('compareAndSet', key, next, ttl)
      const done = await this.#store.compareAndSet(key, seen, kept, ttl)
      await this.#chunks.drop(chunkKeys(key, done ? seen : kept))
      return done
    })
  }

  increment(key: string, by: number, ttl?: number): Promise<number> {
    return this.#lifecycle.run('increment', () => this.#store.increment(key, by, ttl))
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    return this.#lifecycle.run('touch', async () => {
      if (!this.#hasChunks) return this.#store.touch(key, ttl)
      for (let lookup = 1; lookup <= lookups; lookup++) {
        // Chunks first: they must not end before what names them.
        const areThere = await this.#chunks.touch(await this.#chunks.at([key]), ttl)
        if (areThere) return this.#store.touch(key, ttl)
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
      const kept = await this.#values.keep('set', key, payload, ttl)
      if (!this.#hasChunks) return await this.#store.set(key, kept, ttl)
      const replaced = await this.#store.exchange(key, kept, ttl)
      // Where the answer to a first attempt was lost, what a second one has replaced is the same value.
      const own = new Set(chunkKeys(key, kept))
      await this.#chunks.drop(chunkKeys(key, replaced).filter((each) => !own.has(each)))
    } catch (error) {
      // The caller meant to replace the old value; it must not be served as if nothing had happened.
      if (isLimit(error)) await this.#delete(key)
      throw error
    }
  }

  async #setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    const unique = new Map(entries)
    const replaced = await this.#chunksAt([...unique.keys()])
    const kept: [key: string, kept: Payload][] = []
    const failed: { key: string; error: unknown }[] = []
    const keep = async ([key, payload]: [string, Payload]) =>
      this.#values.keep('setMany', key, payload, ttl).then(
        (form) => kept.push([key, form]),
        (error: unknown) => failed.push({ key, error }),
      )
    await Promise.all(Array.from(unique, keep))
    if (failed.length === 0) await this.#store.setMany(kept, ttl)
    else await this.#chunks.drop(kept.flatMap(([key, form]) => chunkKeys(key, form)))
    await this.#deleteMany(failed.filter(({ error }) => isLimit(error)).map(({ key }) => key))
    for (const { error } of failed) throw error
    await this.#chunks.drop(replaced)
  }

  async #delete(key: string): Promise<boolean> {
    if (!this.#hasChunks) return this.#store.delete(key)
    const { deleted, payload } = await this.#store.take(key)
    await this.#chunks.drop(chunkKeys(key, payload))
    return deleted
  }

  async #deleteMany(keys: readonly string[]): Promise<number> {
    if (keys.length === 0) return 0
    const replaced = await this.#chunksAt(keys)
    const count = await this.#store.deleteMany(keys)
    await this.#chunks.drop(replaced)
    return count
  }

  async *#list(pages: AsyncIterable<readonly string[]>) {
    for await (const page of pages) yield page.filter((key) => !isChunkKey(key))
  }

  /** The keys of the chunks that would be left over when these keys are written or deleted. */
  async #chunksAt(keys: readonly string[]): Promise<string[]> {
    return this.#hasChunks ? this.#chunks.at(keys) : []
  }
}

function isLimit(error: unknown): boolean {
  return CacheError.is(error) && error.code === 'ERR_CACHE_LIMIT'
}
