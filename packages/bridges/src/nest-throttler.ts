/**
 * Interface: the storages of `@nestjs/throttler` 6 (tested with 6.7).
 *
 * Cannot: count each hit for a ttl of its own, as the memory of the throttler does: windows are fixed, and those of
 * different clients begin at different times. Hits with another ttl are counted apart: a function for `ttl` must return one
 * of few values. A block ends by the clock of the process. On the channel `stowage:limit`, every call is allowed: the
 * throttler compares. Failures reject with their `CacheError`, so that requests fail; use `failover()` for another store to take over.
 */
import type { Cache, RateLimiter, Snapshot } from '@stowage/core'
import { limitKeyOf } from '@stowage/core/internal'
import { checkCache } from './support/caches.ts'

/** The limit is an argument of each call. */
const unlimited = 2 ** 40
const maxLimiters = 100

interface ThrottlerRecord {
  totalHits: number
  /** In seconds, like `timeToBlockExpire`. */
  timeToExpire: number
  isBlocked: boolean
  timeToBlockExpire: number
}

/**
 * Returns a storage for `ThrottlerModule`. All processes share the counters and the blocks.
 *
 * @example
 * import { ThrottlerModule } from '@nestjs/throttler'
 *
 * const throttlers = [{ ttl: 60_000, limit: 100 }]
 * const module = ThrottlerModule.forRoot({ throttlers, storage: throttlerStorage(cache) })
 */
export function throttlerStorage(cache: Cache): ThrottlerStorage {
  return new ThrottlerStorage(cache)
}

/** See {@link throttlerStorage}. */
export class ThrottlerStorage {
  readonly #cache: Cache
  /** The ends of blocks, in epoch milliseconds, also of the last one of a client that is over. */
  readonly #blocks: Cache
  readonly #limiters = new Map<string, RateLimiter>()

  constructor(cache: Cache) {
    checkCache('throttlerStorage', cache)
    this.#cache = cache
    this.#blocks = cache.namespace('throttler-blocks')
  }

  /**
   * Counts a hit, unless the client is blocked.
   *
   * @param ttl of the window, in milliseconds
   * @param blockDuration in milliseconds. With 0, a client is blocked until its window ends
   */
  async increment(
    key: string,
    ttl: number,
    limit: number,
    blockDuration: number,
    throttlerName: string,
  ): Promise<ThrottlerRecord> {
    const block = await this.#blocks.snapshot<number>(`${throttlerName}:${key}`)
    const { value: end } = block
    if (end !== undefined && end > this.#cache.clock.now()) return this.#blocked(limit + 1, end)
    // After a block, hits are counted anew. Requests in flight still count where the limit is exceeded.
    const counter = end === undefined ? key : `${end}:${key}`
    const { remaining, resetAt } = await this.#limiterOf(throttlerName, ttl).consume(
      limitKeyOf(counter),
    )
    const totalHits = unlimited - remaining
    if (totalHits > limit) {
      const isBlocking = blockDuration > 0
      const until = isBlocking ? await this.#block(block, blockDuration, ttl) : resetAt
      return this.#blocked(totalHits, until)
    }
    const timeToExpire = this.#secondsUntil(resetAt)
    return { totalHits, timeToExpire, isBlocked: false, timeToBlockExpire: 0 }
  }

  /** Of several requests that exceed the limit, the first one determines the end. */
  async #block(block: Snapshot<number>, duration: number, window: number): Promise<number> {
    const until = this.#cache.clock.now() + duration
    // Kept until the counter that was exceeded has expired.
    await block.replace(until, { ttl: duration + window })
    return until
  }

  #blocked(totalHits: number, until: number): ThrottlerRecord {
    const seconds = this.#secondsUntil(until)
    return { totalHits, timeToExpire: seconds, isBlocked: true, timeToBlockExpire: seconds }
  }

  #secondsUntil(time: number): number {
    return Math.max(1, Math.ceil((time - this.#cache.clock.now()) / 1_000))
  }

  /** Throttlers with another ttl have other counters. A function may return as many ttls as there are requests. */
  #limiterOf(name: string, window: number): RateLimiter {
    const id = `${name}:${window}`
    const existing = this.#limiters.get(id)
    if (existing !== undefined) return existing
    if (this.#limiters.size >= maxLimiters) this.#limiters.clear()
    const limiter = this.#cache.rateLimit(`throttler:${name}`, { limit: unlimited, window })
    this.#limiters.set(id, limiter)
    return limiter
  }
}
