import { randomBytes } from 'node:crypto'
import {
  type Awaitable,
  type ByteStore,
  CacheError,
  exceeds,
  oversized,
  type Payload,
  payloadBytes,
  type StoreLimits,
  samePayload,
  toBytes,
} from '@stowage/core'
import { Calls } from './calls.ts'
import { isMarked, type Manifest, manifestOf, pack, toManifest, unpack } from './packing.ts'

export interface LargeValuesOptions {
  readonly compressFrom: number
  readonly chunks: boolean
  readonly maxValueBytes: number
}

/** By how much chunks outlive what names them: they are written before it. */
const slackMs = 60_000
/** How often a value is read anew that was replaced while its chunks were read. */
const readings = 3
const chunkKey = /\0chunk:[\w-]{16}:\d+$/

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
  readonly #store: ByteStore
  readonly #options: LargeValuesOptions
  readonly #calls = new Calls()

  constructor(store: ByteStore, options: LargeValuesOptions) {
    this.limits = { ...store.limits, valueBytes: options.maxValueBytes }
    this.#store = store
    this.#options = options
    if (store.scan !== undefined) this.scan = (prefix) => this.#list(prefix)
  }

  get(key: string): Promise<Payload | undefined> {
    return this.#calls.run('get', () => this.#get(key))
  }

  getMany(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    return this.#calls.run('getMany', () => this.#getMany(keys))
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

  close(): Promise<void> {
    return this.#calls.close(() => this.#store.close())
  }

  async #get(key: string): Promise<Payload | undefined> {
    for (let reading = 1; reading <= readings; reading++) {
      const packed = await this.#store.get(key)
      const manifest = manifestOf(packed)
      if (manifest === undefined) return this.#open(packed)
      const joined = join(await this.#store.getMany(chunkKeys(key, manifest)))
      if (joined !== undefined) return this.#open(joined)
    }
    return undefined
  }

  async #getMany(keys: readonly string[]): Promise<(Payload | undefined)[]> {
    const found = await this.#store.getMany(keys)
    return Promise.all(
      found.map((packed, index) =>
        manifestOf(packed) === undefined ? this.#open(packed) : this.#get(keys[index] as string),
      ),
    )
  }

  async #set(key: string, payload: Payload, ttl?: number): Promise<void> {
    const replaced = await this.#chunksAt([key])
    try {
      const packed = await this.#keep('set', key, payload, ttl)
      await this.#store.set(key, packed, ttl)
    } catch (error) {
      // The caller meant to replace the old value; it must not be served as if nothing had happened.
      if (isLimit(error)) await this.#store.delete(key)
      throw error
    }
    await this.#drop(replaced)
  }

  async #setMany(entries: readonly (readonly [string, Payload])[], ttl?: number): Promise<void> {
    const unique = [...new Map(entries)]
    const keys = unique.map(([key]) => key)
    const replaced = await this.#chunksAt(keys)
    const kept = await Promise.allSettled(
      unique.map(([key, payload]) => this.#keep('setMany', key, payload, ttl)),
    )
    const failed = kept.find((each) => each.status === 'rejected')
    if (failed !== undefined) {
      const refused = keys.filter((_, at) => kept[at]?.status === 'rejected')
      await this.#store.deleteMany(refused)
      throw failed.reason
    }
    const items = kept.map(
      (each, at) => [keys[at], (each as { value: Payload }).value] as [string, Payload],
    )
    await this.#store.setMany(items, ttl)
    await this.#drop(replaced)
  }

  async #add(key: string, payload: Payload, ttl?: number): Promise<boolean> {
    const packed = await this.#keep('add', key, payload, ttl)
    return this.#orDrop(key, packed, this.#store.add(key, packed, ttl))
  }

  async #compareAndSet(
    key: string,
    expected: Payload,
    next: Payload | undefined,
    ttl?: number,
  ): Promise<boolean> {
    const seen = this.#isKeptAsItIs(expected) ? expected : await this.#seenAs(key, expected)
    if (next !== undefined) this.#assertFits('compareAndSet', key, next)
    if (seen === undefined) return false
    const packed = next && (await this.#keep('compareAndSet', key, next, ttl))
    const done = await this.#orDrop(key, packed, this.#store.compareAndSet(key, seen, packed, ttl))
    const replaced = manifestOf(seen)
    if (done && replaced !== undefined) await this.#drop(chunkKeys(key, replaced))
    return done
  }

  async #touch(key: string, ttl?: number): Promise<boolean> {
    const keys = await this.#chunksAt([key])
    // Chunks first: they must not end before what names them.
    const touched = await Promise.all(keys.map((each) => this.#store.touch(each, outliving(ttl))))
    return !touched.includes(false) && this.#store.touch(key, ttl)
  }

  async #delete(key: string): Promise<boolean> {
    const replaced = await this.#chunksAt([key])
    const deleted = await this.#store.delete(key)
    await this.#drop(replaced)
    return deleted
  }

  async #deleteMany(keys: readonly string[]): Promise<number> {
    const replaced = await this.#chunksAt(keys)
    const count = await this.#store.deleteMany(keys)
    await this.#drop(replaced)
    return count
  }

  async *#list(prefix: string): AsyncGenerator<string[], void, undefined> {
    for await (const page of (this.#store as Required<ByteStore>).scan(prefix)) {
      yield page.filter((key) => !chunkKey.test(key))
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
    const bytes = toBytes(packed)
    const chunks = Math.ceil(bytes.length / valueBytes)
    const manifest = { id: randomBytes(12).toString('base64url'), chunks }
    const entries = chunkKeys(key, manifest).map(
      (each, at) => [each, bytes.subarray(at * valueBytes, (at + 1) * valueBytes)] as const,
    )
    await this.#store.setMany(entries, outliving(ttl))
    return toManifest(manifest)
  }

  #assertFits(operation: string, key: string, payload: Payload): void {
    const { valueBytes } = this.limits
    if (!exceeds(payload, valueBytes)) return
    throw oversized(this.name, operation, key, payloadBytes(payload), valueBytes)
  }

  /** What is stored, where it stands for `expected`. */
  async #seenAs(key: string, expected: Payload): Promise<Payload | undefined> {
    const packed = await this.#store.get(key)
    const manifest = manifestOf(packed)
    const joined = manifest ? join(await this.#store.getMany(chunkKeys(key, manifest))) : packed
    const payload = this.#open(joined)
    return payload !== undefined && samePayload(payload, expected) ? packed : undefined
  }

  #isKeptAsItIs(payload: Payload): boolean {
    const { compressFrom } = this.#options
    const least = Math.min(compressFrom, this.#store.limits.valueBytes + 1)
    return !isMarked(payload) && payloadBytes(payload) < least
  }

  /** The keys of the chunks that values under these keys have now. */
  async #chunksAt(keys: readonly string[]): Promise<string[]> {
    if (!this.#options.chunks) return []
    const unique = [...new Set(keys)]
    const found = await this.#store.getMany(unique)
    return found.flatMap((packed, at) => {
      const manifest = manifestOf(packed)
      return manifest === undefined ? [] : chunkKeys(unique[at] as string, manifest)
    })
  }

  /** Deletes the chunks of what was not stored after all. */
  async #orDrop(key: string, packed: Payload | undefined, stored: Awaitable<boolean>) {
    const done = await stored
    const manifest = manifestOf(packed)
    if (!done && manifest !== undefined) await this.#drop(chunkKeys(key, manifest))
    return done
  }

  async #drop(keys: readonly string[]): Promise<void> {
    if (keys.length > 0) await this.#store.deleteMany(keys)
  }
}

function chunkKeys(key: string, { id, chunks }: Manifest): string[] {
  return Array.from({ length: chunks }, (_, at) => `${key}\0chunk:${id}:${at}`)
}

function join(chunks: readonly (Payload | undefined)[]): Payload | undefined {
  const there = chunks.filter((chunk) => chunk !== undefined)
  return there.length === chunks.length ? Buffer.concat(there.map(toBytes)) : undefined
}

function outliving(ttl: number | undefined): number | undefined {
  return ttl === undefined ? undefined : ttl + slackMs
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
