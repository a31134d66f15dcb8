import {
  type Awaitable,
  type ByteStore,
  CacheError,
  exceeds,
  oversized,
  type Payload,
  payloadBytes,
  type ReadOptions,
  type StoreLimits,
  samePayload,
} from '@stowage/core'
import { Calls } from './calls.ts'
import { Chunks, chunkKeys, isChunkKey, strong } from './chunks.ts'
import type { DynamoDBStore } from './dynamodb-store.ts'
import { isMarked, pack, unpack } from './packing.ts'

export interface LargeValuesOptions {
  readonly compressFrom: number
  readonly chunks: boolean
  readonly maxValueBytes: number
}

/** How often a value is read anew that was replaced while its chunks were read. */
const readings = 3

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
  readonly #options: LargeValuesOptions
  readonly #chunks: Chunks
  readonly #calls = new Calls()

  constructor(store: DynamoDBStore, options: LargeValuesOptions) {
    this.limits = { ...store.limits, valueBytes: options.maxValueBytes }
    this.#store = store
    this.#options = options
    this.#chunks = new Chunks(store)
    if (store.scan !== undefined) this.scan = (prefix) => this.#list(prefix)
  }

  get(key: string, options?: ReadOptions): Promise<Payload | undefined> {
    return this.#calls.run('get', async () =>
      this.#whole(key, await this.#store.get(key, options), options),
    )
  }

  getMany(keys: readonly string[], options?: ReadOptions): Promise<(Payload | undefined)[]> {
    return this.#calls.run('getMany', async () => {
      const found = await this.#store.getMany(keys, options)
      return Promise.all(keys.map((key, at) => this.#whole(key, found[at], options)))
    })
  }

  set(key: string, payload: Payload, ttl?: number): Promise<void> {
    return this.#calls.run('set', () => this.#set(key, payload, ttl))
  }

  setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    return this.#calls.run('setMany', () => this.#setMany(entries, ttl))
  }

  add(key: string, payload: Payload, ttl?: number): Promise<boolean> {
    return this.#calls.run('add', () => this.#add(key, payload, ttl))
  }

  compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    return this.#calls.run('compareAndSet', () => this.#compareAndSet(key, expected, next, ttl))
  }

  increment(key: string, by: number, ttl?: number): Awaitable<number> {
    return this.#store.increment(key, by, ttl)
  }

  touch(key: string, ttl?: number): Promise<boolean> {
    return this.#calls.run('touch', () => this.#touch(key, ttl))
  }

  delete(key: string): Promise<boolean> {
    return this.#calls.run('delete', () => this.#delete(key))
  }

  deleteMany(keys: readonly string[]): Promise<number> {
    return this.#calls.run('deleteMany', () => this.#deleteMany(keys))
  }

  clear(): Awaitable<void> {
    return this.#store.clear()
  }

  ping(): Awaitable<void> {
    return this.#store.ping()
  }

  consistencyToken(): Awaitable<string> {
    return this.#store.consistencyToken()
  }

  observe(token: string): void {
    this.#store.observe(token)
  }

  close(): Promise<void> {
    return this.#calls.close(() => this.#store.close())
  }

  /** The payload, of its chunks where `packed` names some. Where one is missing, both may be outdated: they are read anew. */
  async #whole(
    key: string,
    packed: Payload | undefined,
    options?: ReadOptions,
  ): Promise<Payload | undefined> {
    let found = packed
    for (let reading = 1; reading <= readings; reading++) {
      const chunks = chunkKeys(key, found)
      if (chunks.length === 0) return this.#open(found)
      const joined = await this.#chunks.read(chunks, reading === 1 ? options : strong)
      if (joined !== undefined) return this.#open(joined)
      found = await this.#store.get(key, strong)
    }
    return undefined
  }

  async #set(key: string, payload: Payload, ttl?: number): Promise<void> {
    const replaced = await this.#chunksAt([key])
    try {
      const packed = await this.#keep('set', key, payload, ttl)
      await this.#store.set(key, packed, ttl)
    } catch (error) {
      // The caller meant to replace the old value; it must not be served as if nothing had happened.
      if (isLimit(error)) await this.#delete(key)
      throw error
    }
    await this.#chunks.drop(replaced)
  }

  async #setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    const unique = new Map(entries)
    const replaced = await this.#chunksAt([...unique.keys()])
    const packed: [key: string, packed: Payload][] = []
    const failed: { key: string; error: unknown }[] = []
    const keep = async ([key, payload]: [string, Payload]) =>
      this.#keep('setMany', key, payload, ttl).then(
        (kept) => packed.push([key, kept]),
        (error: unknown) => failed.push({ key, error }),
      )
    await Promise.all(Array.from(unique, keep))
    if (failed.length === 0) await this.#store.setMany(packed, ttl)
    else await this.#chunks.drop(packed.flatMap(([key, kept]) => chunkKeys(key, kept)))
    await this.#deleteMany(failed.filter(({ error }) => isLimit(error)).map(({ key }) => key))
    for (const { error } of failed) throw error
    await this.#chunks.drop(replaced)
  }

  async #add(key: string, payload: Payload, ttl?: number): Promise<boolean> {
    const packed = await this.#keep('add', key, payload, ttl)
    const added = await this.#store.add(key, packed, ttl)
    if (!added) await this.#chunks.drop(chunkKeys(key, packed))
    return added
  }

  async #compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    if (next !== undefined) this.#assertFits('compareAndSet', key, next)
    const seen = this.#isKeptAsItIs(expected) ? expected : await this.#seenAs(key, expected)
    if (seen === undefined) return false
    const packed = next && (await this.#keep('compareAndSet', key, next, ttl))
    const done = await this.#store.compareAndSet(key, seen, packed, ttl)
    await this.#chunks.drop(chunkKeys(key, done ? seen : packed))
    return done
  }

  async #touch(key: string, ttl?: number): Promise<boolean> {
    // Chunks first: they must not end before what names them.
    const isWhole = await this.#chunks.touch(await this.#chunksAt([key]), ttl)
    return isWhole && this.#store.touch(key, ttl)
  }

  async #delete(key: string): Promise<boolean> {
    const replaced = await this.#chunksAt([key])
    const deleted = await this.#store.delete(key)
    await this.#chunks.drop(replaced)
    return deleted
  }

  async #deleteMany(keys: readonly string[]): Promise<number> {
    if (keys.length === 0) return 0
    const replaced = await this.#chunksAt(keys)
    const count = await this.#store.deleteMany(keys)
    await this.#chunks.drop(replaced)
    return count
  }

  async *#list(prefix: string): AsyncGenerator<string[], void, undefined> {
    for await (const page of (this.#store as Required<ByteStore>).scan(prefix)) {
      yield page.filter((key) => !isChunkKey(key))
    }
  }

  #open(packed: Payload | undefined): Payload | undefined {
    return packed && unpack(packed, this.limits.valueBytes)
  }

  /** What to store under the key; of a value in chunks the chunks are stored already. */
  async #keep(operation: string, key: string, payload: Payload, ttl: number | undefined) {
    this.#assertFits(operation, key, payload)
    const packed = pack(payload, this.#options.compressFrom)
    const { valueBytes } = this.#store.limits
    if (!exceeds(packed, valueBytes)) return packed
    if (!this.#options.chunks) throw stillOversized(operation, key, payload, packed, valueBytes)
    return this.#chunks.write(key, packed, ttl)
  }

  #assertFits(operation: string, key: string, payload: Payload): void {
    const { valueBytes } = this.limits
    if (!exceeds(payload, valueBytes)) return
    throw oversized(this.name, operation, key, payloadBytes(payload), valueBytes)
  }

  /** What is stored, where it stands for `expected`. */
  async #seenAs(key: string, expected: Payload): Promise<Payload | undefined> {
    const packed = await this.#store.get(key, strong)
    const chunks = chunkKeys(key, packed)
    const payload = this.#open(
      chunks.length === 0 ? packed : await this.#chunks.read(chunks, strong),
    )
    return payload !== undefined && samePayload(payload, expected) ? packed : undefined
  }

  #isKeptAsItIs(payload: Payload): boolean {
    const { compressFrom } = this.#options
    const least = Math.min(compressFrom, this.#store.limits.valueBytes + 1)
    return !isMarked(payload) && payloadBytes(payload) < least
  }

  /** The keys of the chunks that would be left over when these keys are written or deleted. */
  async #chunksAt(keys: readonly string[]): Promise<string[]> {
    return this.#options.chunks ? this.#chunks.at(keys) : []
  }
}

function isLimit(error: unknown): boolean {
  return CacheError.is(error) && error.code === 'ERR_CACHE_LIMIT'
}

function stillOversized(
  operation: string,
  key: string,
  payload: Payload,
  packed: Payload,
  limit: number,
): CacheError {
  return new CacheError(
    'ERR_CACHE_LIMIT',
    `The value has ${payloadBytes(payload)} bytes, ${payloadBytes(packed)} compressed; an item takes at most ${limit}. ` +
      'Store less, or set chunks: true.',
    { store: 'dynamodb', operation, key },
  )
}
