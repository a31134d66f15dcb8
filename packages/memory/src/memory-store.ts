import { type CacheError, type Clock, type StoreLimits, systemClock } from '@stowage/core'
import {
  BatchError,
  type ItemWithTtl,
  Lifecycle,
  notACounter,
  type StoreContract,
  valueTooLarge,
} from '@stowage/core/driver'
import { BoundedMap, ExpiryClock, pingReport } from '@stowage/core/internal'
import type { StoreDiagnostics } from '@stowage/core/tools'
import type { ValueFormat } from './value-format.ts'

const scanPageSize = 1_000

export interface MemoryStoreConfig<Kind, Item> {
  readonly payload: Kind
  readonly format: ValueFormat<Item>
  readonly maxEntries: number
  readonly maxBytes: number
  readonly maxValueBytes: number
  readonly clock: Clock
}

/**
 * Stores items in a {@link BoundedMap}. Every method is synchronous, and therefore atomic. An expired item is deleted when
 * it is read. If it is never read again, it is evicted like any other unused item.
 */
export class MemoryStore<Kind extends 'bytes' | 'entry', Item>
  implements StoreContract<Kind, Item>
{
  readonly name = 'memory'
  readonly processLocal = true
  readonly payload: Kind
  readonly limits: StoreLimits
  readonly diagnostics: StoreDiagnostics = {
    check: () => pingReport('this process', () => this.ping()),
    usage: () => ({ entries: this.#items.size, bytes: this.#bytes }),
  }
  readonly #items: BoundedMap<Item & {}>
  readonly #format: ValueFormat<Item>
  readonly #expiry: ExpiryClock
  readonly #maxBytes: number
  readonly #lifecycle = new Lifecycle('memory')

  constructor(config: MemoryStoreConfig<Kind, Item>) {
    const { payload, format, maxEntries, maxBytes, maxValueBytes, clock } = config
    this.payload = payload
    this.limits = { keyBytes: Infinity, valueBytes: maxValueBytes, ttlStep: 1 }
    this.#format = format
    this.#expiry = new ExpiryClock(clock, clock === systemClock)
    this.#maxBytes = maxBytes
    this.#items = new BoundedMap({ maxEntries, maxBytes, expiry: this.#expiry, store: 'memory' })
  }

  get(key: string): Item | undefined {
    this.#lifecycle.assertOpen('get')
    return this.#items.get(key)
  }

  getMany(keys: readonly string[]): (Item | undefined)[] {
    this.#lifecycle.assertOpen('getMany')
    const items = this.#items
    return keys.map((key) => items.get(key))
  }

  getWithTtl(keys: readonly string[]): (ItemWithTtl<Item> | undefined)[] {
    this.#lifecycle.assertOpen('getWithTtl')
    return keys.map((key) => {
      const found = this.#items.find(key)
      if (found?.value === undefined) return undefined
      return { item: found.value, ttl: this.#expiry.ttlUntil(found.expiresAt) ?? Infinity }
    })
  }

  set(key: string, item: Item, ttl?: number): void {
    this.#lifecycle.assertOpen('set')
    if (this.#exceeds(key, item)) {
      // The old item must not be served after an attempt to replace it.
      this.#items.delete(key)
      throw this.#oversized('set', key, item)
    }
    this.#put(key, item, ttl)
  }

  setMany(entries: readonly (readonly [key: string, item: Item])[], ttl?: number): void {
    this.#lifecycle.assertOpen('setMany')
    let hasFailed = false
    for (const [key, item] of entries) {
      if (this.#exceeds(key, item)) {
        hasFailed = true
        this.#items.delete(key)
      } else this.#put(key, item, ttl)
    }
    if (hasFailed) throw new BatchError(entries.map((entry) => this.#outcomeOf(entry)))
  }

  #outcomeOf([key, item]: readonly [key: string, item: Item]): PromiseSettledResult<unknown> {
    return this.#exceeds(key, item)
      ? { status: 'rejected', reason: this.#oversized('setMany', key, item) }
      : { status: 'fulfilled', value: undefined }
  }

  add(key: string, item: Item, ttl?: number): boolean {
    this.#lifecycle.assertOpen('add')
    if (this.#exceeds(key, item)) throw this.#oversized('add', key, item)
    if (this.#items.get(key) !== undefined) return false
    this.#put(key, item, ttl)
    return true
  }

  compareAndSet(key: string, expected: Item, next: Item | undefined, ttl?: number): boolean {
    this.#lifecycle.assertOpen('compareAndSet')
    if (next !== undefined && this.#exceeds(key, next))
      throw this.#oversized('compareAndSet', key, next)
    const stored = this.#items.get(key)
    if (stored === undefined || !this.#format.equal(stored, expected)) return false
    if (next === undefined) this.#items.delete(key)
    else this.#put(key, next, ttl)
    return true
  }

  increment(key: string, by: number, ttl?: number): number {
    this.#lifecycle.assertOpen('increment')
    const stored = this.#items.find(key)
    const value = stored?.value === undefined ? 0 : this.#format.toInteger(stored.value)
    if (value === undefined) throw notACounter('memory', key, 'the stored value is not an integer')
    const sum = value + by
    if (!Number.isSafeInteger(sum))
      throw notACounter('memory', key, 'the sum is not a safe integer')
    const item = this.#format.fromInteger(sum)
    if (this.#exceeds(key, item)) throw this.#oversized('increment', key, item)
    this.#store(key, item, stored?.expiresAt ?? this.#expiry.expiresAt(ttl))
    return sum
  }

  touch(key: string, ttl?: number): boolean {
    this.#lifecycle.assertOpen('touch')
    const stored = this.#items.find(key)
    if (stored === undefined) return false
    stored.expiresAt = this.#expiry.expiresAt(ttl)
    return true
  }

  delete(key: string): boolean {
    this.#lifecycle.assertOpen('delete')
    return this.#items.delete(key)
  }

  deleteMany(keys: readonly string[]): number {
    this.#lifecycle.assertOpen('deleteMany')
    return keys.filter((key) => this.#items.delete(key)).length
  }

  clear(): void {
    this.#lifecycle.assertOpen('clear')
    this.#items.clear()
  }

  ping(): void {
    this.#lifecycle.assertOpen('ping')
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => this.#items.clear())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *scan(prefix: string): AsyncGenerator<string[], void, undefined> {
    this.#lifecycle.assertOpen('scan')
    // All keys are copied first, because the items may change between two pages.
    const keys = [...this.#items.keys()].filter((key) => key.startsWith(prefix))
    for (let start = 0; start < keys.length; start += scanPageSize) {
      yield keys.slice(start, start + scanPageSize).filter((key) => this.#items.has(key))
    }
  }

  /** `undefined` without a limit, because then the sizes of items are not counted. */
  get #bytes(): number | undefined {
    return this.#maxBytes === Infinity ? undefined : this.#items.bytes
  }

  #put(key: string, item: Item, ttl: number | undefined): void {
    this.#store(key, this.#format.toStored(item), this.#expiry.expiresAt(ttl))
  }

  #store(key: string, item: Item, expiresAt: number): void {
    const size = this.#maxBytes === Infinity ? 0 : this.#format.size(item) + key.length
    this.#items.set(key, item as Item & {}, size, expiresAt)
  }

  /** Also true if item and key together exceed `maxBytes`: such an entry cannot be stored. */
  #exceeds(key: string, item: Item): boolean {
    return this.#format.exceeds(item, this.#limitFor(key))
  }

  #oversized(operation: string, key: string, item: Item): CacheError {
    const size = this.#format.size(item)
    return valueTooLarge(this.name, operation, key, size, this.#limitFor(key))
  }

  #limitFor(key: string): number {
    return Math.min(this.limits.valueBytes, this.#maxBytes - key.length)
  }
}
