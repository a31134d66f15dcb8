import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ChangeOptions, ChangeWork } from '@stowage/core'
import { publishResponse } from '../channels.ts'
import { type ResolvedOptions, type ResponseCacheOptions, resolveOptions } from '../options.ts'
import type { FrameworkRequest } from '../request/request-key.ts'
import { formatCacheStatus, setCacheStatus } from '../response/cache-status.ts'
import { RequestedControls } from '../response/controls.ts'
import { ResponseEngine } from '../response-engine.ts'
import { createExchange, isCacheable, uncoveredCredential, useKeys } from './create-exchange.ts'
import { Invalidation } from './invalidation.ts'
import { LiveRenderer } from './live-renderer.ts'

/** A middleware of Express 4 and 5, Connect, and servers of `node:http`. */
export interface ResponseCacheMiddleware {
  (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void): void
  /**
   * Deletes the stored responses of a URL, all variants in all processes. Accepts a full URL, or a path with the request
   * whose host it is on.
   */
  invalidate(url: string, request?: IncomingMessage): Promise<void>
  /**
   * Runs `work`, usually a transaction, while the responses of the URLs are marked, as `cache.changing` does: a response that
   * is rendered meanwhile is sent and not stored, in any process. Resolves to the result of `work`.
   */
  invalidateDuring<T>(options: InvalidateDuringOptions, work: ChangeWork<T>): Promise<T>
}

/** What `invalidateDuring` marks. */
export interface InvalidateDuringOptions extends ChangeOptions {
  /** Full URLs, or paths with the option `request`. */
  readonly urls: readonly string[]
  /** The request whose host the paths are on. */
  readonly request?: IncomingMessage | undefined
}

/**
 * Creates a middleware that stores the responses of the handlers behind it, and sends them to later requests. Place it
 * behind middleware that every response needs, such as sessions and logging, and in front of the routes.
 *
 * Requests with `Cookie`, `Authorization` or other credentials bypass it, unless `varyBy` or `public` declares what the
 * responses depend on. A response is not stored if it has `Set-Cookie`, `private` or `no-store`, or if its handler has read
 * anything of the request that the key does not cover. `Cache-Status` says how each request was answered, and why a
 * response was not stored.
 *
 * @throws TypeError for an unknown option
 * @throws CacheError `ERR_CACHE_CONFIG` for an invalid option
 * @example
 * app.use('/products', responseCache({ cache, ttl: '10m', tags: ['products'] }))
 */
export function responseCache(options: ResponseCacheOptions): ResponseCacheMiddleware {
  const resolved = resolveOptions(options)
  const engine = new ResponseEngine(resolved)
  const invalidation = new Invalidation(resolved, engine)
  const middleware = (
    request: FrameworkRequest,
    response: ServerResponse,
    next: (error?: unknown) => void,
  ): void => {
    if (!isCacheable(request.method, resolved)) {
      passUncached(request, response, resolved, 'method')
      invalidation.observe(request, response)
      next()
      return
    }
    useKeys(request, resolved, (keys) => {
      if (keys === undefined) {
        passUncached(request, response, resolved, 'bypass')
        next()
        return
      }
      const renderer = new LiveRenderer(request, response, next, resolved)
      engine.handle(createExchange(request, response, keys, renderer, resolved))
    })
  }
  return Object.assign(middleware, invalidationMethods(invalidation))
}

/** Returns the methods of a middleware or a handler that invalidate responses. */
export function invalidationMethods(
  invalidation: Invalidation,
): Pick<ResponseCacheMiddleware, 'invalidate' | 'invalidateDuring'> {
  const resolve = (url: string, request: IncomingMessage | undefined) =>
    request === undefined
      ? normalizedUrl(url, invalidation)
      : invalidation.urlOf(request as FrameworkRequest, url)
  return {
    invalidate: (url, request) =>
      invalidation.invalidateUrl(resolve(url, request), request === undefined),
    invalidateDuring: async ({ urls, request, ...options }, work) => {
      const resolved = urls.map((url) => resolve(url, request))
      return invalidation.invalidateDuring(resolved, request === undefined, options, work)
    },
  }
}

/** The response is that of the handler, and not stored. */
export function passUncached(
  request: FrameworkRequest,
  response: ServerResponse,
  options: ResolvedOptions,
  forwarded: 'method' | 'bypass',
): void {
  const { cacheStatus, cache } = options
  publishResponse(cache.name, { forwarded })
  if (cacheStatus !== undefined) {
    const name = forwarded === 'bypass' ? uncoveredCredential(request, options) : undefined
    const detail = name === undefined ? undefined : (`request-${name}` as const)
    setCacheStatus(response, formatCacheStatus(cacheStatus, { forwarded, detail }))
  }
  new RequestedControls(request, response)
}

/** A full URL as it is part of keys. */
function normalizedUrl(text: string, invalidation: Invalidation): string {
  const { protocol, host, pathname, search } = new URL(text)
  const request = { headers: { host }, protocol: protocol.slice(0, -1) }
  return invalidation.urlOf(request as unknown as FrameworkRequest, pathname + search)
}
