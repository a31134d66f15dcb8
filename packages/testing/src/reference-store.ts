import { type Clock, type Payload, type StoreLimits, systemClock } from '@stowage/core'
import {
  type ByteStore,
  exceeds,
  type ItemWithTtl,
  Lifecycle,
  notACounter,
  payloadBytes,
  samePayload,
  toBytes,
  toText,
  valueTooLarge,
  wrapStore,
} from '@stowage/core/driver'

const pageSize = 100

export interface ReferenceStoreOptions {
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** Whether the store can list its keys. If not, a cache clears its prefix by generations, as on memcached. @default true */
  readonly scan?: boolean | undefined
  /** Limits of the store. @default no size limits, and a `ttlStep` of 1 ms */
  readonly limits?: Partial<StoreLimits> | undefined
  /** Items to share with other stores, as processes share a server. `close()` keeps them. @default items of its own */
  readonly items?: Map<string, StoredItem> | undefined
  /** Whether `referenceStore` returns a store whose methods return promises, as over a network. @default false */
  readonly async?: boolean | undefined
}

/** The payload stored under a key, with its expiry. */
export interface StoredItem {
  readonly bytes: Uint8Array
  /** Epoch milliseconds, or `Infinity` for an item that never expires. */
  readonly expiresAt: number
}

/**
 * The simplest store that keeps the contract, written to be read: bytes in a `Map`. Its methods are synchronous, which
 * makes them atomic. It never evicts, so use it for tests only.
 *
 * @example
 * const reference = new ReferenceStore()
 * reference.set('greeting', 'hello', 60_000)
 * reference.items.set('damaged', { bytes: Buffer.from('{"a":'), expiresAt: Infinity })
 * console.log(await new Cache(reference).get('damaged')) // undefined
 */
export class ReferenceStore implements ByteStore {
  readonly name = 'reference'
  readonly payload = 'bytes'
  readonly limits: StoreLimits
  readonly scan?: (prefix: string) => AsyncGenerator<string[], void, undefined>
  /** Public, so that a test can inspect or damage items. Expired items stay until they are overwritten. */
  readonly items: Map<string, StoredItem>
  readonly #ownsItems: boolean
  readonly #clock: Clock
  readonly #lifecycle = new Lifecycle('reference')

  constructor(options: ReferenceStoreOptions = {}) {
    const { clock = systemClock, scan = true, limits = {}, items } = options
    this.#clock = clock
    this.items = items ?? new Map()
    this.#ownsItems = items === undefined
    this.limits = { keyBytes: Infinity, valueBytes: Infinity, ttlStep: 1, ...limits }
    if (scan) this.scan = (prefix) => this.#pages(prefix)
  }

  get(key: string): Payload | undefined {
    this.#lifecycle.assertOpen('get')
    return this.#find(key)?.bytes
  }

  getMany(keys: readonly string[]): (Payload | undefined)[] {
    this.#lifecycle.assertOpen('getMany')
    return keys.map((key) => this.#find(key)?.bytes)
  }

  getWithTtl(keys: readonly string[]): (ItemWithTtl<Payload> | undefined)[] {
    this.#lifecycle.assertOpen('getWithTtl')
    return keys.map((key) => {
      const item = this.#find(key)
      if (item === undefined) return undefined
      return { item: item.bytes, ttl: item.expiresAt - this.#clock.now() }
    })
  }

  set(key: string, payload: Payload, ttl?: number): void {
    this.#lifecycle.assertOpen('set')
    this.#replace('set', [[key, payload]], ttl)
  }

  setMany(entries: readonly (readonly [key: string, payload: Payload])[], ttl?: number): void {
    this.#lifecycle.assertOpen('setMany')
    this.#replace('setMany', entries, ttl)
  }

  add(key: string, payload: Payload, ttl?: number): boolean {
    this.#lifecycle.assertOpen('add')
    this.#assertFits('add', key, payload)
    if (this.#find(key) !== undefined) return false
    this.#store(key, payload, ttl)
    return true
  }

  compareAndSet(key: string, expected: Payload, next: Payload | undefined, ttl?: number): boolean {
    this.#lifecycle.assertOpen('compareAndSet')
    if (next !== undefined) this.#assertFits('compareAndSet', key, next)
    const item = this.#find(key)
    if (item === undefined || !samePayload(item.bytes, expected)) return false
    if (next === undefined) this.items.delete(key)
    else this.#store(key, next, ttl)
    return true
  }

  increment(key: string, by: number, ttl?: number): number {
    this.#lifecycle.assertOpen('increment')
    const item = this.#find(key)
    const text = item === undefined ? '0' : toText(item.bytes)
    if (!/^(0|-?[1-9]\d*)$/.test(text)) {
      throw notACounter(this.name, key, 'the stored value is not an integer')
    }
    const sum = BigInt(text) + BigInt(by)
    if (!Number.isSafeInteger(Number(sum))) {
      throw notACounter(this.name, key, 'the sum is not a safe integer')
    }
    const expiresAt = item === undefined ? this.#expiresAt(ttl) : item.expiresAt
    this.items.set(key, { bytes: Buffer.from(String(sum)), expiresAt })
    return Number(sum)
  }

  touch(key: string, ttl?: number): boolean {
    this.#lifecycle.assertOpen('touch')
    const item = this.#find(key)
    if (item === undefined) return false
    this.items.set(key, { bytes: item.bytes, expiresAt: this.#expiresAt(ttl) })
    return true
  }

  delete(key: string): boolean {
    this.#lifecycle.assertOpen('delete')
    return this.#find(key) !== undefined && this.items.delete(key)
  }

  deleteMany(keys: readonly string[]): number {
    this.#lifecycle.assertOpen('deleteMany')
    return keys.filter((key) => this.delete(key)).length
  }

  clear(): void {
    this.#lifecycle.assertOpen('clear')
    this.items.clear()
  }

  ping(): void {
    this.#lifecycle.assertOpen('ping')
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => {
      if (this.#ownsItems) this.items.clear()
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *#pages(prefix: string): AsyncGenerator<string[], void, undefined> {
    this.#lifecycle.assertOpen('scan')
    const keys = [...this.items.keys()].filter((key) => key.startsWith(prefix))
    for (let start = 0; start < keys.length; start += pageSize) {
      yield keys.slice(start, start + pageSize).filter((key) => this.#find(key) !== undefined)
    }
  }

  /** The item under the key, unless it has expired. */
  #find(key: string): StoredItem | undefined {
    const item = this.items.get(key)
    return item !== undefined && item.expiresAt > this.#clock.now() ? item : undefined
  }

  /** Deletes the old items first: they must not be read after a write that failed because a value is too large. */
  #replace(
    operation: string,
    entries: readonly (readonly [string, Payload])[],
    ttl?: number,
  ): void {
    for (const [key] of entries) this.items.delete(key)
    for (const [key, payload] of entries) this.#assertFits(operation, key, payload)
    for (const [key, payload] of entries) this.#store(key, payload, ttl)
  }

  #assertFits(operation: string, key: string, payload: Payload): void {
    const { valueBytes } = this.limits
    if (exceeds(payload, valueBytes)) {
      throw valueTooLarge(this.name, operation, key, payloadBytes(payload), valueBytes)
    }
  }

  #store(key: string, payload: Payload, ttl: number | undefined): void {
    // Copied, because the caller may reuse its buffer.
    this.items.set(key, { bytes: Buffer.from(toBytes(payload)), expiresAt: this.#expiresAt(ttl) })
  }

  #expiresAt(ttl: number | undefined): number {
    if (ttl === undefined) return Infinity
    const { ttlStep } = this.limits
    return this.#clock.now() + Math.ceil(ttl / ttlStep) * ttlStep
  }
}

/**
 * Creates a {@link ReferenceStore}, or with `async: true` a wrapper of one whose methods return promises.
 *
 * @example
 * const limits = { keyBytes: 250, valueBytes: 1_048_576, ttlStep: 1_000 }
 * const likeMemcached = new Cache(referenceStore({ scan: false, limits, async: true }))
 */
export function referenceStore(options: ReferenceStoreOptions = {}): ByteStore {
  const store = new ReferenceStore(options)
  if (options.async !== true) return store
  // Waits before the call only: the call itself stays synchronous, and so atomic.
  return wrapStore<ByteStore>(store, async (_operation, call) => {
    await undefined
    return call()
  })
}
