import type { Clock, StoreContract, StoreLimits } from '@stowage/core'
import { Lifecycle, notACounter, valueTooLarge } from '@stowage/core/driver'
import { LRUCache } from 'lru-cache'
import { ExpiryClock } from './expiry-clock.ts'
import type { ValueFormat } from './value-format.ts'

const scanPageSize = 1_000
// Expiry is checked here, not by lru-cache. A constant, because peek() without options allocates an object per call.
const peekOptions = { allowStale: true }

interface StoredItem<Item> {
  item: Item
  /** Epoch milliseconds; `Infinity` for an item that never expires. */
  expiresAt: number
}

export interface MemoryStoreConfig<Kind, Item> {
  readonly payload: Kind
  readonly format: ValueFormat<Item>
  readonly maxEntries: number
  readonly maxBytes: number
  readonly maxValueBytes: number
  readonly clock: Clock
}

/**
 * Stores items in an in-process LRU cache. Every method is synchronous, and therefore atomic. An expired item is deleted
 * when it is read. If it is never read again, it is evicted like any other unused item.
 */
export class MemoryStore<Kind extends 'bytes' | 'entry', Item>
  implements StoreContract<Kind, Item>
{
  readonly name = 'memory'
  readonly processLocal = true
  readonly payload: Kind
  readonly limits: StoreLimits
  readonly #lru: LRUCache<string, StoredItem<Item>>
  readonly #format: ValueFormat<Item>
  readonly #expiry: ExpiryClock
  readonly #maxBytes: number
  readonly #halfMaxEntries: number
  readonly #halfMaxBytes: number
  readonly #lifecycle = new Lifecycle('memory')

  constructor(config: MemoryStoreConfig<Kind, Item>) {
    const { payload, format, maxEntries, maxBytes, maxValueBytes, clock } = config
    this.payload = payload
    this.limits = { keyBytes: Infinity, valueBytes: maxValueBytes, ttlStep: 1 }
    this.#format = format
    this.#expiry = new ExpiryClock(clock)
    this.#maxBytes = maxBytes
    this.#halfMaxEntries = maxEntries / 2
    this.#halfMaxBytes = maxBytes / 2
    this.#lru = new LRUCache({
      max: maxEntries,
      ...(Number.isFinite(maxBytes) && {
        maxSize: maxBytes,
        sizeCalculation: ({ item }, key) => format.size(item) + key.length,
      }),
    })
  }

  get(key: string): Item | undefined {
    this.#lifecycle.assertOpen('get')
    return this.#find(key)?.item
  }

  getMany(keys: readonly string[]): (Item | undefined)[] {
    this.#lifecycle.assertOpen('getMany')
    return keys.map((key) => this.#find(key)?.item)
  }

  set(key: string, item: Item, ttl?: number): void {
    this.#lifecycle.assertOpen('set')
    if (this.#exceeds(key, item)) {
      // The old item must not be served after an attempt to replace it.
      this.#lru.delete(key)
      this.#rejectOversized('set', key, item)
    }
    this.#put(key, item, ttl)
  }

  setMany(entries: readonly (readonly [key: string, item: Item])[], ttl?: number): void {
    this.#lifecycle.assertOpen('setMany')
    const oversized = entries.filter(([key, item]) => this.#exceeds(key, item))
    for (const [key] of oversized) this.#lru.delete(key)
    for (const [key, item] of oversized) this.#rejectOversized('setMany', key, item)
    for (const [key, item] of entries) this.#put(key, item, ttl)
  }

  add(key: string, item: Item, ttl?: number): boolean {
    this.#lifecycle.assertOpen('add')
    if (this.#exceeds(key, item)) this.#rejectOversized('add', key, item)
    if (this.#find(key) !== undefined) return false
    this.#put(key, item, ttl)
    return true
  }

  compareAndSet(key: string, expected: Item, next: Item | undefined, ttl?: number): boolean {
    this.#lifecycle.assertOpen('compareAndSet')
    if (next !== undefined && this.#exceeds(key, next))
      this.#rejectOversized('compareAndSet', key, next)
    const stored = this.#find(key)
    if (stored === undefined || !this.#format.equal(stored.item, expected)) return false
    if (next === undefined) this.#lru.delete(key)
    else this.#put(key, next, ttl)
    return true
  }

  increment(key: string, by: number, ttl?: number): number {
    this.#lifecycle.assertOpen('increment')
    const stored = this.#find(key)
    const value = stored === undefined ? 0 : this.#format.toInteger(stored.item)
    if (value === undefined) throw notACounter('memory', key, 'the stored value is not an integer')
    const sum = value + by
    if (!Number.isSafeInteger(sum))
      throw notACounter('memory', key, 'the sum is not a safe integer')
    const item = this.#format.fromInteger(sum)
    if (this.#exceeds(key, item)) this.#rejectOversized('increment', key, item)
    this.#lru.set(key, { item, expiresAt: stored?.expiresAt ?? this.#expiry.expiresAt(ttl) })
    return sum
  }

  touch(key: string, ttl?: number): boolean {
    this.#lifecycle.assertOpen('touch')
    const stored = this.#find(key)
    if (stored === undefined) return false
    stored.expiresAt = this.#expiry.expiresAt(ttl)
    return true
  }

  delete(key: string): boolean {
    this.#lifecycle.assertOpen('delete')
    return this.#delete(key)
  }

  deleteMany(keys: readonly string[]): number {
    this.#lifecycle.assertOpen('deleteMany')
    return keys.filter((key) => this.#delete(key)).length
  }

  clear(): void {
    this.#lifecycle.assertOpen('clear')
    this.#lru.clear()
  }

  ping(): void {
    this.#lifecycle.assertOpen('ping')
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => this.#lru.clear())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *scan(prefix: string): AsyncGenerator<string[], void, undefined> {
    this.#lifecycle.assertOpen('scan')
    // All keys are copied first, because the LRU cache may change between two pages.
    const keys = [...this.#lru.keys()].filter((key) => key.startsWith(prefix))
    for (let start = 0; start < keys.length; start += scanPageSize) {
      yield keys.slice(start, start + scanPageSize).filter((key) => this.#exists(key))
    }
  }

  #find(key: string): StoredItem<Item> | undefined {
    const stored = this.#isHalfFull() ? this.#lru.get(key) : this.#lru.peek(key, peekOptions)
    if (stored === undefined || !this.#expiry.isPast(stored.expiresAt)) return stored
    this.#lru.delete(key)
    return undefined
  }

  /**
   * Whether evictions may begin soon. Only then do reads update the order of use, because that costs as much as the
   * lookup itself.
   */
  #isHalfFull(): boolean {
    return this.#lru.size > this.#halfMaxEntries || this.#lru.calculatedSize > this.#halfMaxBytes
  }

  /** Like `#find`, but never counts as a use. */
  #exists(key: string): boolean {
    const stored = this.#lru.peek(key, peekOptions)
    return stored !== undefined && !this.#expiry.isPast(stored.expiresAt)
  }

  #put(key: string, item: Item, ttl: number | undefined): void {
    const copy = this.#format.toStored(item)
    const expiresAt = this.#expiry.expiresAt(ttl)
    // With a size limit lru-cache must see every change; otherwise the stored item is updated in place.
    const stored = this.#maxBytes === Infinity ? this.#find(key) : undefined
    if (stored === undefined) this.#lru.set(key, { item: copy, expiresAt })
    else {
      stored.item = copy
      stored.expiresAt = expiresAt
    }
  }

  #delete(key: string): boolean {
    return this.#find(key) !== undefined && this.#lru.delete(key)
  }

  /** Also true if item and key together exceed `maxBytes`: lru-cache would drop the entry silently. */
  #exceeds(key: string, item: Item): boolean {
    return this.#format.exceeds(item, this.#limitFor(key))
  }

  #rejectOversized(operation: string, key: string, item: Item): never {
    const size = this.#format.size(item)
    throw valueTooLarge(this.name, operation, key, size, this.#limitFor(key))
  }

  #limitFor(key: string): number {
    return Math.min(this.limits.valueBytes, this.#maxBytes - key.length)
  }
}
