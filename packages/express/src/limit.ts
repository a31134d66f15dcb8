import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  type Cache,
  CacheError,
  milliseconds,
  type RateLimitOptions,
  type RateLimitResult,
} from '@stowage/core'
import { limitKeyOf } from '@stowage/core/internal'
import { networkOf } from './client-network.ts'

/** Options of {@link limit} and {@link limitHook}, besides those of `cache.rateLimit`. */
export interface LimitOptions<Request> extends RateLimitOptions {
  /** Where requests are counted: all processes with the same backend and prefix share the limit. */
  readonly cache: Cache
  /** Identifies the limit in the headers, and separates its counters from those of others. Printable ASCII. */
  readonly name: string
  /**
   * Returns whose requests are counted together. `undefined` lets a request pass uncounted.
   * @default `request.ip`, or the address of the client. Of an IPv6 address, the first 64 bits
   */
  readonly key?: (request: Request) => string | undefined | Promise<string | undefined>
}

type Next = (error?: unknown) => void
type ClientRequest = {
  readonly ip?: string | undefined
  readonly socket?: IncomingMessage['socket']
}
type Headers = readonly (readonly [name: string, value: string])[]

/** What a request consumes, and the headers that say so. */
interface Verdict {
  readonly isAllowed: boolean
  readonly headers: Headers
}

/**
 * Creates a middleware for Express, Connect and servers of `node:http` that limits how many requests a client can make.
 * Responses have the headers `RateLimit` and `RateLimit-Policy`. Requests above the limit have the status 429 and
 * `Retry-After`. If the store fails, the option `onError` decides; with `'throw'`, the default, the error handlers respond.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
 * @example
 * app.use(limit({ cache, name: 'api', limit: 100, window: '1m' }))
 */
export function limit<Request extends IncomingMessage = IncomingMessage>(
  options: LimitOptions<Request>,
): (request: Request, response: ServerResponse, next: Next) => void {
  const judge = judgeOf(options)
  return (request, response, next) => {
    judge(request).then(({ isAllowed, headers }) => {
      // Another middleware has responded meanwhile, for example because of a timeout.
      if (response.headersSent) return
      for (const [name, value] of headers) {
        response.setHeader(name, joined(response.getHeader(name), value))
      }
      if (isAllowed) return next()
      response.statusCode = 429
      response.setHeader('Content-Type', 'text/plain; charset=utf-8')
      response.end('Too many requests.')
    }, next)
  }
}

/** What a hook calls of a reply of Fastify. */
interface Reply {
  getHeader(name: string): unknown
  header(name: string, value: string): unknown
}

/**
 * Creates an `onRequest` hook for Fastify, with the same options and headers as {@link limit}. Above the limit, it throws an
 * error with `statusCode` 429, which the error handler of the application receives.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @example
 * import fastify from 'fastify'
 *
 * const app = fastify()
 * app.addHook('onRequest', limitHook({ cache, name: 'api', limit: 100, window: '1m' }))
 */
export function limitHook<Request extends { readonly ip: string }>(
  options: LimitOptions<Request>,
): (request: Request, reply: Reply) => Promise<void> {
  const judge = judgeOf(options)
  return async (request, reply) => {
    const { isAllowed, headers } = await judge(request)
    for (const [name, value] of headers) reply.header(name, joined(reply.getHeader(name), value))
    if (!isAllowed) throw Object.assign(new Error('Too many requests.'), { statusCode: 429 })
  }
}

function judgeOf<Request extends ClientRequest>(
  options: LimitOptions<Request>,
): (request: Request) => Promise<Verdict> {
  checkOptions(options)
  const { cache, name, key = addressOf, ...rateLimit } = options
  checkName(name)
  const limiter = cache.rateLimit(name, rateLimit)
  const seconds = Math.ceil(milliseconds(rateLimit.window) / 1_000)
  const policy = ['RateLimit-Policy', `"${name}";q=${rateLimit.limit};w=${seconds}`] as const
  return async (request) => {
    const client = await key(request)
    if (client === undefined) return { isAllowed: true, headers: [] }
    const result = await limiter.consume(limitKeyOf(client))
    const current = currentHeaders(name, result, cache.clock.now())
    return { isAllowed: result.allowed, headers: [policy, ...current] }
  }
}

function currentHeaders(name: string, result: RateLimitResult, now: number): Headers {
  const { allowed, remaining, resetAt, retryAfterMs } = result
  // `Retry-After` must not be earlier than what `RateLimit` says.
  const seconds = Math.max(1, Math.ceil((allowed ? resetAt - now : retryAfterMs) / 1_000))
  const limit = ['RateLimit', `"${name}";r=${remaining};t=${seconds}`] as const
  return allowed ? [limit] : [limit, ['Retry-After', String(seconds)]]
}

function addressOf({ ip, socket }: ClientRequest): string {
  const address = ip ?? socket?.remoteAddress
  if (address !== undefined) return networkOf(address)
  throw new TypeError(
    'limit: a request has no IP address, for example on a Unix socket. Use the option key.',
  )
}

/** Several limits of one response are the members of a list. */
function joined(existing: unknown, value: string): string {
  return existing === undefined ? value : `${existing}, ${value}`
}

/** Also if the cache itself is passed, or nothing. */
function checkOptions(options: Partial<LimitOptions<never>> | undefined): void {
  const { cache, key } = options ?? {}
  if (typeof cache?.rateLimit !== 'function') {
    throw new CacheError(
      'ERR_CACHE_CONFIG',
      "limit: the option cache must be a Cache: limit({ cache: caches.use('cache'), name: 'api', limit: 100, window: '1m' }).",
    )
  }
  if (key === undefined || typeof key === 'function') return
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    'limit: key must be a function of the request, such as (request) => request.get("x-api-key").',
  )
}

/** The characters of a string of RFC 9651, section 3.3.3, which need no escape. */
function checkName(name: string): void {
  if (/^[\x20-\x21\x23-\x5b\x5d-\x7e]+$/.test(name)) return
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    'limit: name must be printable ASCII without quotes and backslashes, because it is part of a header.',
  )
}
