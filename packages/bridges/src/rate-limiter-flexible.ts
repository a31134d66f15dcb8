/**
 * Interface: the client of `RateLimiterMemcache` of rate-limiter-flexible 11 (tested with 11.4), which is the only one of its
 * limiters that asks for no more than atomic operations.
 *
 * Cannot: durations below a second, which the limiter rounds down to 0, and 0 never ends; end windows by the clock of the
 * backend; count on a cache with `encrypted()`, whose counters are not supported. Failures are passed to the callback as
 * their `CacheError`, but the limiter replaces it: `consume` rejects with its own error, after four attempts, and `get`
 * resolves to `null`.
 */
import type { Cache } from '@stowage/core'
import { checkCache } from './support/caches.ts'

type Callback<T> = (error: Error | null, result?: T) => void

/** Of a counter that has expired since it was read. The limiter creates the next one with its duration. */
const raceTtlMs = 1_000
/** A replica that lags behind would return fewer points. */
const strong = { consistency: 'strong' } as const

/**
 * Returns a client for `RateLimiterMemcache`, on any driver.
 *
 * @example
 * import { RateLimiterMemcache } from 'rate-limiter-flexible'
 *
 * const limiter = new RateLimiterMemcache({ storeClient: rateLimiterClient(cache), points: 5, duration: 60 })
 * await limiter.consume('ada')
 */
export function rateLimiterClient(cache: Cache): RateLimiterClient {
  checkCache('rateLimiterClient', cache)
  return new RateLimiterClient(cache.namespace('rate-limiter-flexible'))
}

/** See {@link rateLimiterClient}. Durations are in seconds, and 0 never ends. */
export class RateLimiterClient {
  readonly #cache: Cache

  constructor(cache: Cache) {
    this.#cache = cache
  }

  /** Passes `false` for a miss, because the limiter takes `undefined` for an end that never comes. */
  get(key: string, callback: Callback<number | false>): void {
    settle(this.#read(key), callback)
  }

  set(key: string, value: number, seconds: number, callback: Callback<void>): void {
    settle(this.#cache.set(key, value, ttlOf(seconds)), callback)
  }

  /** Passes whether the key was missing. */
  add(key: string, value: number, seconds: number, callback: Callback<boolean>): void {
    settle(this.#cache.add(key, value, ttlOf(seconds)), callback)
  }

  /** Passes `false` for a miss: a counter needs the duration, which only `add` has. */
  incr(key: string, by: number, callback: Callback<number | false>): void {
    settle(this.#increment(key, by), callback)
  }

  del(key: string, callback: Callback<boolean>): void {
    settle(this.#cache.delete(key), callback)
  }

  async #read(key: string): Promise<number | false> {
    return (await this.#cache.get<number>(key, strong)) ?? false
  }

  async #increment(key: string, by: number): Promise<number | false> {
    if (!(await this.#cache.has(key, strong))) return false
    return this.#cache.increment(key, by, { ttl: raceTtlMs })
  }
}

function ttlOf(seconds: number): { ttl: number | null } {
  return { ttl: seconds > 0 ? seconds * 1_000 : null }
}

function settle<T>(work: Promise<T>, callback: Callback<T>): void {
  work.then((result) => callback(null, result), callback)
}
