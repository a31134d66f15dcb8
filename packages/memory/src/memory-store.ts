import type { Clock, StoreContract, StoreLimits } from '@stowage/core'
import { Lifecycle, notACounter, valueTooLarge } from '@stowage/core/driver'
import { LRUCache } from 'lru-cache'
import { Expiry } from './expiry.ts'
import type { Representation } from './representation.ts'

const scanPage = 1_000
// Our slots know themselves when they end. One object for all reads: the default would be made anew for each.
const asItIs = { allowStale: true }

/** An item and when it ends, in epoch milliseconds (`Infinity`: never). */
interface Slot<Item> {
  item: Item
  expiresAt: number
}

export interface MemoryStoreConfig<Kind, Item> {
  readonly payload: Kind
  readonly representation: Representation<Item>
  readonly maxEntries: number
  readonly maxBytes: number
  readonly maxValueBytes: number
  readonly clock: Clock
}

/**
 * Items in an LRU of this process. Every method answers at once, so each is atomic by itself.
 * An expired item is dropped when it is met, and otherwise makes room like any other that nobody uses.
 */
export class MemoryStore<Kind extends 'bytes' | 'entry', Item>
  implements StoreContract<Kind, Item>
{
  readonly name = 'memory'
  readonly payload: Kind
  readonly limits: StoreLimits
  readonly #slots: LRUCache<string, Slot<Item>>
  readonly #representation: Representation<Item>
  readonly #expiry: Expiry
  readonly #maxBytes: number
  /** Half of what fits. */
  readonly #manyEntries: number
  readonly #manyBytes: number
  readonly #lifecycle = new Lifecycle('memory')

  constructor(config: MemoryStoreConfig<Kind, Item>) {
    const { payload, representation, maxEntries, maxBytes, maxValueBytes, clock } = config
    this.payload = payload
    this.limits = { keyBytes: Infinity, valueBytes: maxValueBytes, ttlStep: 1 }
    this.#representation = representation
    this.#expiry = new Expiry(clock)
    this.#maxBytes = maxBytes
    this.#manyEntries = maxEntries / 2
    this.#manyBytes = maxBytes / 2
    this.#slots = new LRUCache({
      max: maxEntries,
      ...(Number.isFinite(maxBytes) && {
        maxSize: maxBytes,
        sizeCalculation: ({ item }, key) => representation.size(item) + key.length,
      }),
    })
  }

  get(key: string): Item | undefined {
    this.#lifecycle.assertOpen('get')
    return this.#live(key)?.item
  }

  getMany(keys: readonly string[]): (Item | undefined)[] {
    this.#lifecycle.assertOpen('getMany')
    return keys.map((key) => this.#live(key)?.item)
  }

  set(key: string, item: Item, ttl?: number): void {
    this.#lifecycle.assertOpen('set')
    if (this.#exceeds(key, item)) {
      // The caller meant to replace the old item; it must not be served as if nothing had happened.
      this.#slots.delete(key)
      this.#refuse('set', key, item)
    }
    this.#put(key, item, ttl)
  }

  setMany(entries: readonly (readonly [key: string, item: Item])[], ttl?: number): void {
    this.#lifecycle.assertOpen('setMany')
    const refused = entries.filter(([key, item]) => this.#exceeds(key, item))
    for (const [key] of refused) this.#slots.delete(key)
    for (const [key, item] of refused) this.#refuse('setMany', key, item)
    for (const [key, item] of entries) this.#put(key, item, ttl)
  }

  add(key: string, item: Item, ttl?: number): boolean {
    this.#lifecycle.assertOpen('add')
    if (this.#exceeds(key, item)) this.#refuse('add', key, item)
    if (this.#live(key) !== undefined) return false
    this.#put(key, item, ttl)
    return true
  }

  compareAndSet(key: string, expected: Item, next: Item | undefined, ttl?: number): boolean {
    this.#lifecycle.assertOpen('compareAndSet')
    if (next !== undefined && this.#exceeds(key, next)) this.#refuse('compareAndSet', key, next)
    const slot = this.#live(key)
    if (slot === undefined || !this.#representation.equal(slot.item, expected)) return false
    if (next === undefined) this.#slots.delete(key)
    else this.#put(key, next, ttl)
    return true
  }

  increment(key: string, by: number, ttl?: number): number {
    this.#lifecycle.assertOpen('increment')
    const slot = this.#live(key)
    const before = slot === undefined ? 0 : this.#representation.toInteger(slot.item)
    if (before === undefined) throw notACounter('memory', key, 'the stored value is not an integer')
    const sum = before + by
    if (!Number.isSafeInteger(sum))
      throw notACounter('memory', key, 'the sum is not a safe integer')
    const item = this.#representation.fromInteger(sum)
    this.#slots.set(key, { item, expiresAt: slot?.expiresAt ?? this.#expiry.after(ttl) })
    return sum
  }

  touch(key: string, ttl?: number): boolean {
    this.#lifecycle.assertOpen('touch')
    const slot = this.#live(key)
    if (slot === undefined) return false
    slot.expiresAt = this.#expiry.after(ttl)
    return true
  }

  delete(key: string): boolean {
    this.#lifecycle.assertOpen('delete')
    return this.#live(key) !== undefined && this.#slots.delete(key)
  }

  deleteMany(keys: readonly string[]): number {
    this.#lifecycle.assertOpen('deleteMany')
    return keys.filter((key) => this.delete(key)).length
  }

  clear(): void {
    this.#lifecycle.assertOpen('clear')
    this.#slots.clear()
  }

  ping(): void {
    this.#lifecycle.assertOpen('ping')
  }

  close(): Promise<void> {
    return this.#lifecycle.close(() => this.#slots.clear())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *scan(prefix: string): AsyncGenerator<string[], void, undefined> {
    this.#lifecycle.assertOpen('scan')
    // Listed at once: the LRU may change between two pages.
    const keys = [...this.#slots.keys()].filter((key) => key.startsWith(prefix))
    for (let start = 0; start < keys.length; start += scanPage) {
      yield keys.slice(start, start + scanPage).filter((key) => this.#isLive(this.#slots.peek(key)))
    }
  }

  #live(key: string): Slot<Item> | undefined {
    const slot = this.#isCrowded() ? this.#slots.get(key) : this.#slots.peek(key, asItIs)
    if (slot === undefined || !this.#expiry.hasPassed(slot.expiresAt)) return slot
    this.#slots.delete(key)
    return undefined
  }

  /**
   * Whether something will have to go before long, so that the order of use matters. To keep the order costs a read as
   * much as to find the entry.
   */
  #isCrowded(): boolean {
    return this.#slots.size > this.#manyEntries || this.#slots.calculatedSize > this.#manyBytes
  }

  #isLive(slot: Slot<Item> | undefined): boolean {
    return slot !== undefined && !this.#expiry.hasPassed(slot.expiresAt)
  }

  #put(key: string, item: Item, ttl: number | undefined): void {
    const kept = this.#representation.keep(item)
    const expiresAt = this.#expiry.after(ttl)
    // Where sizes are measured the LRU has to see each change; otherwise the slot is enough.
    const slot = this.#maxBytes === Infinity ? this.#live(key) : undefined
    if (slot === undefined) this.#slots.set(key, { item: kept, expiresAt })
    else {
      slot.item = kept
      slot.expiresAt = expiresAt
    }
  }

  /** What is too large, or could never fit beside its key: the LRU would drop it without a word. */
  #exceeds(key: string, item: Item): boolean {
    return this.#representation.exceeds(item, this.#limitFor(key))
  }

  #refuse(operation: string, key: string, item: Item): never {
    const size = this.#representation.size(item)
    throw valueTooLarge(this.name, operation, key, size, this.#limitFor(key))
  }

  #limitFor(key: string): number {
    return Math.min(this.limits.valueBytes, this.#maxBytes - key.length)
  }
}
