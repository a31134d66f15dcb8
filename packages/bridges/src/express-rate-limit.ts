/**
 * Interface: the stores of express-rate-limit 8 (tested with 8.7) and of hono-rate-limiter 0.5, which are the same.
 *
 * Cannot: reset all keys (`resetAll` is absent), because `cache.clear()` leaves rate limits alone as well. Windows are
 * fixed, and those of different keys begin at different times. On the channel `stowage:limit`, every call is allowed:
 * only the middleware knows the limit. Failures reject with their `CacheError`; `passOnStoreError` lets requests pass.
 */
import type { Cache, RateLimiter, RateLimitResult } from '@stowage/core'
import { limitKeyOf } from '@stowage/core/internal'
import { checkCache } from './support/caches.ts'

/** The middleware compares the hits with its limit itself. */
const unlimited = 2 ** 40

interface Hits {
  totalHits: number
  /** Without it, the middleware sends no `RateLimit` and `Retry-After` headers. */
  resetTime: Date
}

/**
 * Returns the store of a limiter. Limiters with the same name and window share their counters, in all processes.
 *
 * @example
 * import { rateLimit } from 'express-rate-limit'
 *
 * app.use(rateLimit({ windowMs: 60_000, limit: 100, store: rateLimitStore(cache, 'api') }))
 */
export function rateLimitStore(cache: Cache, name: string): RateLimitStore {
  return new RateLimitStore(cache, name)
}

/** See {@link rateLimitStore}. */
export class RateLimitStore {
  /** Separates the keys of limiters for the validation of express-rate-limit. */
  readonly prefix: string
  readonly localKeys: boolean = false
  readonly #cache: Cache
  readonly #name: string
  #limiter: RateLimiter | undefined

  constructor(cache: Cache, name: string) {
    checkCache('rateLimitStore', cache)
    if (typeof name !== 'string' || name === '')
      throw new TypeError(
        "rateLimitStore: pass the name of the limiter: rateLimitStore(cache, 'api').",
      )
    this.#cache = cache
    this.#name = name
    this.prefix = `${name}:`
  }

  /** Called by the middleware before the first request, and not awaited. */
  init({ windowMs }: { readonly windowMs: number }): void {
    this.#limiter = this.#cache.rateLimit(this.#name, { limit: unlimited, window: windowMs })
  }

  /** Reads the hits, and counts none. */
  async get(key: string): Promise<Hits | undefined> {
    const hits = hitsOf(await this.#started.peek(limitKeyOf(key)))
    return hits.totalHits === 0 ? undefined : hits
  }

  async increment(key: string): Promise<Hits> {
    return hitsOf(await this.#started.consume(limitKeyOf(key)))
  }

  /** Takes back a hit of the current window. One of an earlier window is over, and creates no negative counter. */
  async decrement(key: string): Promise<void> {
    await this.#started.undo(limitKeyOf(key))
  }

  async resetKey(key: string): Promise<void> {
    await this.#started.reset(limitKeyOf(key))
  }

  get #started(): RateLimiter {
    if (this.#limiter !== undefined) return this.#limiter
    throw new TypeError(
      'rateLimitStore was used without a limiter. Pass it to rateLimit({ store }).',
    )
  }
}

function hitsOf({ remaining, resetAt }: RateLimitResult): Hits {
  return { totalHits: unlimited - remaining, resetTime: new Date(resetAt) }
}
