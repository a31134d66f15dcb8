import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ResponseCacheOptions } from '../options.ts'
import type { FrameworkRequest } from '../request/request-key.ts'
import { CachedRoute } from './cached-route.ts'
import type { InvalidationMethods } from './invalidation.ts'
import { LiveRenderer } from './live-renderer.ts'

type Next = (error?: unknown) => void

/** A middleware of Express 4 and 5, Connect, and servers of `node:http`. */
export interface ResponseCacheMiddleware extends InvalidationMethods {
  (request: IncomingMessage, response: ServerResponse, next: Next): void
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
  const route = new CachedRoute(options)
  const middleware = (request: FrameworkRequest, response: ServerResponse, next: Next): void => {
    const createRenderer = () => new LiveRenderer(request, response, next, route.options)
    route.handle(request, response, createRenderer, next)
  }
  return Object.assign(middleware, route.invalidationMethods())
}
