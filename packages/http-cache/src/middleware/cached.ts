import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ResponseCacheOptions, resolveOptions } from '../options.ts'
import type { RequestKey } from '../request/request-key.ts'
import { ResponseEngine } from '../response-engine.ts'
import { createExchange, isCacheable, useKeys } from './create-exchange.ts'
import { DetachedRenderer, type Handler } from './detached-renderer.ts'
import { Invalidation } from './invalidation.ts'
import {
  invalidationMethods,
  passUncached,
  type ResponseCacheMiddleware,
} from './response-cache.ts'

/** A handler of Express 4 and 5, and of `createServer` of `node:http`. */
export interface CachedHandler<Request, Response> {
  (request: Request, response: Response, next?: (error?: unknown) => void): void
  /** Deletes the stored responses of a URL, see {@link ResponseCacheMiddleware.invalidate}. */
  invalidate(url: string, request?: IncomingMessage): Promise<void>
  /** Marks the responses of URLs during a change, see {@link ResponseCacheMiddleware.invalidateDuring}. */
  invalidateDuring: ResponseCacheMiddleware['invalidateDuring']
}

/**
 * Returns a handler whose responses are stored. `handler` renders them with a request and a response of its own: a stale
 * response can be refreshed in the background, and a client that disconnects does not end the rendering for the others.
 * The response is sent once it is complete.
 *
 * @throws TypeError for an unknown option
 * @throws CacheError `ERR_CACHE_CONFIG` for an invalid option
 * @example
 * const options = { cache, ttl: '1m', staleWhileRevalidate: '1h' } as const
 * app.get('/report', cached(options, async (request, response) => {
 *   response.setHeader('Content-Type', 'text/plain')
 *   response.end('a slow report')
 * }))
 */
export function cached<
  Request extends IncomingMessage = IncomingMessage,
  Response extends ServerResponse = ServerResponse,
>(
  options: ResponseCacheOptions,
  handler: (request: Request, response: Response, next: (error?: unknown) => void) => unknown,
): CachedHandler<Request, Response> {
  const resolved = resolveOptions(options)
  const engine = new ResponseEngine(resolved)
  const invalidation = new Invalidation(resolved, engine)
  const listener = (request: Request, response: Response, next?: (error?: unknown) => void) => {
    const call = handler as unknown as Handler
    const rendererFor = (keys?: RequestKey) =>
      new DetachedRenderer(request, response, call, next, resolved, keys?.content)
    if (!isCacheable(request.method, resolved)) {
      passUncached(request, response, resolved, 'method')
      invalidation.observe(request, response)
      rendererFor().bypass()
      return
    }
    useKeys(request, resolved, (keys) => {
      const renderer = rendererFor(keys)
      if (keys === undefined) {
        passUncached(request, response, resolved, 'bypass')
        renderer.bypass()
        return
      }
      engine.handle(createExchange(request, response, keys, renderer, resolved))
    })
  }
  return Object.assign(listener, invalidationMethods(invalidation))
}
