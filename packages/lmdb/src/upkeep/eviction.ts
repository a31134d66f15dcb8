import { type Environment, pageBytes } from '../file/environment.ts'
import type { ItemTable } from '../items/item-table.ts'
import type { GrowthLimit } from './growth-limit.ts'

const handKey = 'eviction hand'
const step = 64
/** Shares of `maxBytes`: where eviction begins, and where it ends. The rest is for pages that transactions replace. */
const highShare = 0.97
const lowShare = 0.95
/** The used pages are counted after this share of the free space was written, because counting takes 20 µs. */
const countedShare = 1 / 32
const minPagesBetweenCounts = 16
/** Fixed costs of an item, with the index and half-empty pages, in pages. */
const pagesPerWrite = 0.25

/**
 * Keeps the used pages below `maxBytes`. A hand passes over all items in the order of their keys, as in the CLOCK
 * algorithm: it deletes items that have expired or were not read since its last pass. In simulations with Zipf's
 * distribution, that has more hits than LRU, and it needs no list of items by use.
 */
export class Eviction {
  readonly #environment: Environment
  readonly #items: ItemTable
  readonly #growth: GrowthLimit
  readonly #highPages: number
  readonly #lowPages: number
  #usedPages = 0
  #pagesUntilCount = 0

  constructor(environment: Environment, items: ItemTable, growth: GrowthLimit, maxBytes: number) {
    this.#environment = environment
    this.#items = items
    this.#growth = growth
    this.#highPages = Math.floor((maxBytes * highShare) / pageBytes)
    this.#lowPages = Math.floor((maxBytes * lowShare) / pageBytes)
  }

  /** Whether evictions may begin soon. Only then, reads are recorded. */
  get isHalfFull(): boolean {
    return this.#usedPages > this.#highPages / 2
  }

  /**
   * Evicts items if necessary. Call it at the end of a write transaction.
   *
   * @throws HeldSnapshotError if the pages of evicted items could not be used again
   */
  makeRoom(writtenBytes: number, now: number): void {
    this.#pagesUntilCount -= writtenBytes / pageBytes + pagesPerWrite
    if (this.#pagesUntilCount > 0) return
    this.#growth.check()
    this.#count()
    if (this.#usedPages > this.#highPages) this.#evict(now)
    const free = Math.max(0, this.#highPages - this.#usedPages)
    this.#pagesUntilCount = Math.max(minPagesBetweenCounts, free * countedShare)
  }

  #count(): void {
    this.#usedPages = this.#environment.usedPages()
  }

  #evict(now: number): void {
    this.#deleteExpired(now)
    if (this.#usedPages > this.#lowPages) this.#moveHand(now)
  }

  #deleteExpired(now: number): void {
    while (this.#usedPages > this.#lowPages) {
      const due = this.#items.index.due(now, step)
      for (const key of due) this.#items.removeDue(key, now)
      if (due.length > 0) this.#count()
      if (due.length < step) return
    }
  }

  #moveHand(now: number): void {
    const { meta } = this.#environment
    let hand = meta.getBinary(handKey)?.toString() ?? ''
    let passes = 0
    // After two passes, no item is marked as used any more, and all were deleted.
    while (this.#usedPages > this.#lowPages && passes < 3) {
      const keys = this.#items.keysFrom(hand === '' ? '\0' : hand, step)
      for (const key of keys) this.#visit(key, now)
      if (keys.length < step) passes++
      hand = keys.length < step ? '' : `${keys.at(-1)}\0`
      this.#count()
    }
    meta.put(handKey, Buffer.from(hand || '\0'))
  }

  #visit(key: string, now: number): void {
    if (!this.#items.find(key)) return
    if (this.#items.isUsed && this.#items.expiresAt > now) this.#items.markUsed(key, false)
    else this.#items.remove(key)
  }
}
