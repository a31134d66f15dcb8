import { hash } from 'node:crypto'
import type { Cache, Clock } from '@stowage/core'
import { monotonicOf } from '@stowage/core/internal'
import type { VaryRecord } from '../storage/record.ts'
import type { Hint } from '../storage/response-store.ts'
import { ShortKeyMap } from '../storage/short-key-map.ts'

const maxKeys = 10_000
/** Responses that depend on more headers are hardly ever found again. */
const maxNames = 10

/** What this process knows of the variants of responses. */
class Variants {
  /** The headers that responses of a key were seen to depend on. */
  readonly #names = new ShortKeyMap<readonly string[]>(maxKeys)
  /** The variants that were stored below a record, by its id. */
  readonly #stored = new ShortKeyMap<StoredVariants>(maxKeys)

  /** The headers that variants of a key depend on: those of this response, and of earlier ones. */
  union(baseKey: string, names: readonly string[]): readonly string[] {
    const known = this.#names.get(baseKey) ?? []
    const all = [...new Set([...known, ...names])].sort()
    const result = all.length > maxNames ? names : all
    this.#names.set(baseKey, result)
    return result
  }

  /** Whether a record contains the headers that a response depends on. */
  cover(baseKey: string, vary: VaryRecord, names: readonly string[]): boolean {
    if (names.every((name) => vary.names.includes(name))) return true
    this.union(baseKey, [...vary.names, ...names])
    return false
  }

  /** Whether another variant may be stored. It counts until it is deleted. @param now, keepUntil epoch milliseconds */
  admit(
    recordId: string,
    key: string,
    maxVariants: number,
    { now, keepUntil }: { readonly now: number; readonly keepUntil: number },
  ): boolean {
    if (!this.hasRoom(recordId, key, maxVariants, now)) return false
    const stored = this.#stored.get(recordId) ?? new StoredVariants()
    stored.add(key, keepUntil)
    this.#stored.set(recordId, stored)
    return true
  }

  /** Whether a variant may be stored. */
  hasRoom(recordId: string, key: string, maxVariants: number, now: number): boolean {
    const stored = this.#stored.get(recordId)
    return stored === undefined || stored.has(key) || stored.countAt(now) < maxVariants
  }
}

/** Two variants with the same number count as one. */
class StoredVariants {
  /** When variants end, by their numbers: keys may be long, as clients send what is in them. */
  readonly #ends = new Map<number, number>()
  /** No variant has ended before. */
  #firstEnd = Infinity

  has(key: string): boolean {
    return this.#ends.has(numberOf(key))
  }

  add(key: string, end: number): void {
    this.#ends.set(numberOf(key), end)
    this.#firstEnd = Math.min(this.#firstEnd, end)
  }

  /** The number of variants that have not ended. */
  countAt(now: number): number {
    if (now < this.#firstEnd) return this.#ends.size
    this.#firstEnd = Infinity
    for (const [number, end] of this.#ends) {
      if (end <= now) this.#ends.delete(number)
      else this.#firstEnd = Math.min(this.#firstEnd, end)
    }
    return this.#ends.size
  }
}

function numberOf(key: string): number {
  return hash('sha256', key, 'buffer').readInt32BE()
}

/**
 * Why a key is marked. `'private'`: its response could not be stored, so that requests do not wait for each other
 * (hit-for-miss). `'unlikely'`: that was because of its request, and those of others may be stored: one at a time tries that,
 * and no other waits for it. `'failed'`: the handler has failed, and is not called again at once if there is a stale response.
 */
type Reason = 'private' | 'unlikely' | 'failed'

/** What this process knows of keys whose responses could not be stored. */
class UnstoredResponses {
  readonly #clock: Clock
  readonly #until: Readonly<Record<Reason, ShortKeyMap<number>>> = {
    private: new ShortKeyMap(maxKeys),
    unlikely: new ShortKeyMap(maxKeys),
    failed: new ShortKeyMap(maxKeys),
  }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(key: string, ms: number, reason: Reason = 'private'): void {
    this.#until[reason].set(key, monotonicOf(this.#clock) + ms)
  }

  has(key: string, reason: Reason = 'private'): boolean {
    const until = this.#until[reason].get(key)
    return until !== undefined && monotonicOf(this.#clock) < until
  }

  remove(key: string): void {
    for (const marks of Object.values(this.#until)) marks.delete(key)
  }
}

/** What this process knows of the responses of a cache. */
export interface KnownResponses {
  readonly hints: ShortKeyMap<Hint>
  readonly variants: Variants
  readonly unstored: UnstoredResponses
}

/** One per cache and not per route: applications have many routes, and clients determine the number of keys. */
const known = new WeakMap<Cache, KnownResponses>()

export function knownResponsesOf(cache: Cache): KnownResponses {
  const existing = known.get(cache)
  if (existing !== undefined) return existing
  const created = {
    hints: new ShortKeyMap<Hint>(maxKeys),
    variants: new Variants(),
    unstored: new UnstoredResponses(cache.clock),
  }
  known.set(cache, created)
  return created
}
