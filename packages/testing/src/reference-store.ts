import {
  type ByteStore,
  CacheError,
  type Clock,
  type Payload,
  type StoreLimits,
  systemClock,
  wrapStore,
} from '@stowage/core'
import {
  exceeds,
  Lifecycle,
  payloadBytes,
  samePayload,
  toBytes,
  toText,
  valueTooLarge,
} from '@stowage/core/driver'

const pageSize = 100

export interface ReferenceOptions {
  /** @default systemClock */
  readonly clock?: Clock | undefined
  /** Whether keys can be listed. Without it the facade clears by generations, as on memcached. @default true */
  readonly scan?: boolean | undefined
  /** What the store allows. @default no limit, and a `ttlStep` of 1 */
  readonly limits?: Partial<StoreLimits> | undefined
  /** Whether answers come later, as from a network, instead of at once. @default false */
  readonly async?: boolean | undefined
}

/** What is stored under a key, and until when. */
export interface ReferenceSlot {
  readonly bytes: Uint8Array
  /** Epoch milliseconds, `Infinity` for never. */
  readonly expiresAt: number
}

/**
 * The contract written down as code, with nothing else in mind than to be read: bytes in a Map, and every
 * method atomic because it does not wait. For tests; nothing is ever evicted.
 */
export class ReferenceStore implements ByteStore {
  readonly name = 'reference'
  readonly payload = 'bytes'
  readonly limits: StoreLimits
  readonly scan?: (prefix: string) => AsyncGenerator<string[], void, undefined>
  /** Open, so that a test can look at what is stored, or damage it. Expired slots stay until replaced. */
  readonly slots: Map<string, ReferenceSlot> = new Map()
  readonly #clock: Clock
  readonly #lifecycle = new Lifecycle('reference')

  constructor({ clock = systemClock, scan = true, limits = {} }: ReferenceOptions = {}) {
    this.#clock = clock
    this.limits = { keyBytes: Infinity, valueBytes: Infinity, ttlStep: 1, ...limits }
    if (scan) this.scan = (prefix) => this.#pages(prefix)
  }

  get(key: string): Payload | undefined {
    this.#lifecycle.assertOpen('get')
    return this.#live(key)?.bytes
  }

  getMany(keys: readonly string[]): (Payload | undefined)[] {
    this.#lifecycle.assertOpen('getMany')
    return keys.map((key) => this.#live(key)?.bytes)
  }

  set(key: string, item: Payload, ttl?: number): void {
    this.#lifecycle.assertOpen('set')
    this.#replace('set', [[key, item]], ttl)
  }

  setMany(entries: readonly (readonly [key: string, item: Payload])[], ttl?: number): void {
    this.#lifecycle.assertOpen('setMany')
    this.#replace('setMany', entries, ttl)
  }

  add(key: string, item: Payload, ttl?: number): boolean {
    this.#lifecycle.assertOpen('add')
    this.#assertFits('add', key, item)
    if (this.#live(key) !== undefined) return false
    this.#put(key, item, ttl)
    return true
  }

  compareAndSet(key: string, expected: Payload, next: Payload | undefined, ttl?: number): boolean {
    this.#lifecycle.assertOpen('compareAndSet')
    if (next !== undefined) this.#assertFits('compareAndSet', key, next)
    const slot = this.#live(key)
    if (slot === undefined || !samePayload(slot.bytes, expected)) return false
    if (next === undefined) this.slots.delete(key)
    else this.#put(key, next, ttl)
    return true
  }

  increment(key: string, by: number, ttl?: number): number {
    this.#lifecycle.assertOpen('increment')
    const slot = this.#live(key)
    const text = slot === undefined ? '0' : toText(slot.bytes)
    if (!/^(0|-?[1-9]\d*)$/.test(text)) throw this.#refused(key, 'the stored value is no integer')
    const sum = BigInt(text) + BigInt(by)
    if (!Number.isSafeInteger(Number(sum))) {
      throw this.#refused(key, 'the sum leaves the safe integers')
    }
    const expiresAt = slot === undefined ? this.#expiry(ttl) : slot.expiresAt
    this.slots.set(key, { bytes: Buffer.from(String(sum)), expiresAt })
    return Number(sum)
  }

  touch(key: string, ttl?: number): boolean {
    this.#lifecycle.assertOpen('touch')
    const slot = this.#live(key)
    if (slot === undefined) return false
    this.slots.set(key, { bytes: slot.bytes, expiresAt: this.#expiry(ttl) })
    return true
  }

  delete(key: string): boolean {
    this.#lifecycle.assertOpen('delete')
    return this.#live(key) !== undefined && this.slots.delete(key)
  }

  deleteMany(keys: readonly string[]): number {
    this.#lifecycle.assertOpen('deleteMany')
    return keys.filter((key) => this.delete(key)).length
  }

  clear(): void {
    this.#lifecycle.assertOpen('clear')
    this.slots.clear()
  }

  ping(): void {
    this.#lifecycle.assertOpen('ping')
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => this.slots.clear())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *#pages(prefix: string): AsyncGenerator<string[], void, undefined> {
    this.#lifecycle.assertOpen('scan')
    const keys = [...this.slots.keys()].filter((key) => key.startsWith(prefix))
    for (let start = 0; start < keys.length; start += pageSize) {
      yield keys.slice(start, start + pageSize).filter((key) => this.#live(key) !== undefined)
    }
  }

  #live(key: string): ReferenceSlot | undefined {
    const slot = this.slots.get(key)
    return slot !== undefined && slot.expiresAt > this.#clock.now() ? slot : undefined
  }

  /** What was to be replaced goes in any case, also where what was to come is too large. */
  #replace(
    operation: string,
    entries: readonly (readonly [string, Payload])[],
    ttl?: number,
  ): void {
    for (const [key] of entries) this.slots.delete(key)
    for (const [key, item] of entries) this.#assertFits(operation, key, item)
    for (const [key, item] of entries) this.#put(key, item, ttl)
  }

  #assertFits(operation: string, key: string, item: Payload): void {
    const { valueBytes } = this.limits
    if (exceeds(item, valueBytes)) {
      throw valueTooLarge(this.name, operation, key, payloadBytes(item), valueBytes)
    }
  }

  #put(key: string, item: Payload, ttl: number | undefined): void {
    // A copy: the caller may go on to use its buffer.
    this.slots.set(key, { bytes: Buffer.from(toBytes(item)), expiresAt: this.#expiry(ttl) })
  }

  #expiry(ttl: number | undefined): number {
    if (ttl === undefined) return Infinity
    const { ttlStep } = this.limits
    return this.#clock.now() + Math.ceil(ttl / ttlStep) * ttlStep
  }

  #refused(key: string, reason: string): CacheError {
    const { name: store } = this
    const operation = 'increment'
    return new CacheError('ERR_CACHE_REJECTED', `increment refused: ${reason}.`, {
      store,
      operation,
      key,
    })
  }
}

/** The yardstick: the simplest correct store. @see ReferenceStore */
export function referenceStore(options: ReferenceOptions = {}): ByteStore {
  const store = new ReferenceStore(options)
  if (options.async !== true) return store
  // The work itself stays in one piece, so every method is as atomic as before.
  return wrapStore<ByteStore>(store, async (_operation, call) => {
    await undefined
    return call()
  })
}
