/**
 * Interface: the stores of `@fastify/rate-limit` 11 (tested with 11.2), which are classes.
 *
 * Cannot: begin a window with the first request; windows are fixed, and those of different clients begin at different
 * times. Requests with another window are counted apart: a function for `timeWindow` must return one of few values. A delay
 * of `exponentialBackoff` is at most a year. With it, or with `continueExceeding`, each request costs a read more, and a cache
 * with `encrypted()` is not supported, because it has no counters. On the channel `stowage:limit`, every call is allowed: the
 * plugin compares. Failures are passed on as their `CacheError`; with `skipOnError`, requests pass.
 */
import type { Cache, RateLimiter, RateLimitResult } from '@stowage/core'
import { limitKeyOf } from '@stowage/core/internal'
import { checkCache } from './support/caches.ts'

/** The limit is an argument of each call. */
const unlimited = 2 ** 40
const maxLimiters = 100
const maxDelayMs = 365 * 86_400_000
/** A replica that lags behind would let a client pass that has exceeded its limit. */
const strong = { consistency: 'strong' } as const

interface Hits {
  current: number
  /** How long they count, in milliseconds. */
  ttl: number
}

type Callback = (error: Error | null, hits?: Hits) => void

/** What the store reads of the options of the plugin, and of those of a route. */
interface LimitOptions {
  readonly continueExceeding?: boolean
  readonly exponentialBackoff?: boolean
  readonly groupId?: string
  readonly routeInfo?: { readonly method?: string | readonly string[]; readonly url?: string }
}

/**
 * Returns the class of which the plugin creates its store. Plugins with the same name share their counters, in all
 * processes.
 *
 * @example
 * import rateLimit from '@fastify/rate-limit'
 * import fastify from 'fastify'
 *
 * const app = fastify()
 * await app.register(rateLimit, { max: 100, timeWindow: 60_000, store: fastifyRateLimitStore(cache, 'api') })
 */
export function fastifyRateLimitStore(
  cache: Cache,
  name: string,
): new (
  options: object,
) => FastifyRateLimitStore {
  checkCache('fastifyRateLimitStore', cache)
  return class extends FastifyRateLimitStore {
    constructor(options: object) {
      super(cache, name, options)
    }
  }
}

/** See {@link fastifyRateLimitStore}. */
export class FastifyRateLimitStore {
  readonly #cache: Cache
  readonly #name: string
  readonly #options: LimitOptions
  readonly #limiters = new Map<number, RateLimiter>()
  /** Requests of clients above their limit, and when these are over: for options that delay this with each request. */
  readonly #exceeding: Cache

  constructor(cache: Cache, name: string, options: object) {
    this.#cache = cache
    this.#name = name
    this.#options = options
    this.#exceeding = cache.namespace('fastify-rate-limit').namespace(encodeURIComponent(name))
  }

  /** Counts a request. @param timeWindow in milliseconds */
  incr(key: string, callback: Callback, timeWindow: number, max: number): void {
    settle(this.#count(limitKeyOf(key), timeWindow, max), callback)
  }

  /** Returns what `incr` has counted, and counts nothing. @param timeWindow in milliseconds */
  read(key: string, callback: Callback, timeWindow: number, max: number): void {
    settle(this.#read(limitKeyOf(key), timeWindow, max), callback)
  }

  /** Returns the store of a route, which counts separately, or of all routes with a `groupId`. */
  child(options: object): FastifyRateLimitStore {
    const { groupId, routeInfo: { method = '', url = '' } = {} }: LimitOptions = options
    // The plugin itself appends the group to the key.
    const route = groupId === undefined ? `${method} ${url}` : 'group'
    return new FastifyRateLimitStore(this.#cache, `${this.#name} ${route}`, options)
  }

  async #count(key: string, windowMs: number, max: number): Promise<Hits> {
    const { continueExceeding, exponentialBackoff } = this.#options
    if (!continueExceeding && !exponentialBackoff) return this.#consume(key, windowMs)
    const exceeding = await this.#exceeding.get(`n:${key}`, strong)
    if (exceeding === undefined) {
      const hits = await this.#consume(key, windowMs)
      if (hits.current <= max) return hits
    }
    return this.#delay(key, windowMs, max)
  }

  async #consume(key: string, windowMs: number): Promise<Hits> {
    return this.#hitsOf(await this.#limiterOf(windowMs).consume(key))
  }

  /** Counts a request above the limit, and sets when it and those before are over. */
  async #delay(key: string, windowMs: number, max: number): Promise<Hits> {
    const count = await this.#exceeding.increment(`n:${key}`, 1, { ttl: windowMs })
    const factor = this.#options.continueExceeding ? 1 : 2 ** (count - 1)
    const ttl = Math.min(windowMs * factor, Math.max(windowMs, maxDelayMs))
    await Promise.all([
      this.#exceeding.touch(`n:${key}`, { ttl }),
      this.#exceeding.set(`end:${key}`, this.#cache.clock.now() + ttl, { ttl }),
    ])
    return { current: max + count, ttl }
  }

  async #read(key: string, windowMs: number, max: number): Promise<Hits> {
    const [count, end] = await this.#exceeding.getMany<number>([`n:${key}`, `end:${key}`], strong)
    if (count !== undefined) {
      return { current: max + count, ttl: Math.max(0, (end ?? 0) - this.#cache.clock.now()) }
    }
    const hits = this.#hitsOf(await this.#limiterOf(windowMs).peek(key))
    return hits.current === 0 ? { current: 0, ttl: 0 } : hits
  }

  #hitsOf({ remaining, resetAt }: RateLimitResult): Hits {
    return { current: unlimited - remaining, ttl: resetAt - this.#cache.clock.now() }
  }

  #limiterOf(window: number): RateLimiter {
    const existing = this.#limiters.get(window)
    if (existing !== undefined) return existing
    // A function may return as many windows as there are requests.
    if (this.#limiters.size >= maxLimiters) this.#limiters.clear()
    const limiter = this.#cache.rateLimit(`fastify:${this.#name}`, { limit: unlimited, window })
    this.#limiters.set(window, limiter)
    return limiter
  }
}

function settle(counting: Promise<Hits>, callback: Callback): void {
  counting.then((hits) => callback(null, hits), callback)
}
