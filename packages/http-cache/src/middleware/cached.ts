import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ResponseCacheOptions } from '../options.ts'
import type { RequestKey } from '../request/request-key.ts'
import { CachedRoute } from './cached-route.ts'
import { DetachedRenderer, type Handler } from './detached-renderer.ts'
import type { InvalidationMethods } from './invalidation.ts'

/** A handler of Express 4 and 5, and of `createServer` of `node:http`. */
export interface CachedHandler<Request, Response> extends InvalidationMethods {
  (request: Request, response: Response, next?: (error?: unknown) => void): void
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
  const route = new CachedRoute(options)
  const call = handler as unknown as Handler
  const listener = (request: Request, response: Response, next?: (error?: unknown) => void) => {
    const createRenderer = (keys?: RequestKey) =>
      new DetachedRenderer(request, response, call, next, route.options, keys?.content)
    route.handle(request, response, createRenderer, () => createRenderer().bypass())
  }
  return Object.assign(listener, route.invalidationMethods())
}
