import type { IncomingMessage, ServerResponse } from 'node:http'
import { publishResponse } from '../channels.ts'
import type { Renderer } from '../exchange/renderer.ts'
import { type ResolvedOptions, type ResponseCacheOptions, resolveOptions } from '../options.ts'
import type { FrameworkRequest, RequestKey } from '../request/request-key.ts'
import { formatCacheStatus, setCacheStatus } from '../response/cache-status.ts'
import { RequestedControls } from '../response/controls.ts'
import { ResponseEngine } from '../response-engine.ts'
import { createExchange, isCacheable, uncoveredCredential, useKeys } from './create-exchange.ts'
import { Invalidation, type InvalidationMethods } from './invalidation.ts'

/** What the middleware and a cached handler have in common. */
export class CachedRoute {
  readonly options: ResolvedOptions
  readonly #engine: ResponseEngine
  readonly #invalidation: Invalidation

  constructor(options: ResponseCacheOptions) {
    this.options = resolveOptions(options)
    this.#engine = new ResponseEngine(this.options)
    this.#invalidation = new Invalidation(this.options, this.#engine)
  }

  /**
   * Answers a request.
   *
   * @param bypass runs the handler without the cache
   */
  handle(
    request: FrameworkRequest,
    response: ServerResponse,
    createRenderer: (keys: RequestKey) => Renderer,
    bypass: () => void,
  ): void {
    const { options } = this
    if (!isCacheable(request.method, options)) {
      this.#passUncached(request, response, 'method')
      this.#invalidation.observe(request, response)
      bypass()
      return
    }
    useKeys(request, options, (keys) => {
      if (keys === undefined) {
        this.#passUncached(request, response, 'bypass')
        bypass()
        return
      }
      const renderer = createRenderer(keys)
      this.#engine.handle(createExchange(request, response, keys, renderer, options))
    })
  }

  /** The response is that of the handler, and not stored. */
  #passUncached(
    request: FrameworkRequest,
    response: ServerResponse,
    forwarded: 'method' | 'bypass',
  ): void {
    const { cacheStatus, cache } = this.options
    publishResponse(cache.name, { forwarded })
    if (cacheStatus !== undefined) {
      const name = forwarded === 'bypass' ? uncoveredCredential(request, this.options) : undefined
      const detail = name === undefined ? undefined : (`request-${name}` as const)
      setCacheStatus(response, formatCacheStatus(cacheStatus, { forwarded, detail }))
    }
    new RequestedControls(request, response)
  }

  /** The methods of a middleware or a handler that invalidate responses. */
  invalidationMethods(): InvalidationMethods {
    const invalidation = this.#invalidation
    const resolve = (url: string, request: IncomingMessage | undefined) =>
      request === undefined ? normalizedUrl(url, invalidation) : invalidation.urlOf(request, url)
    return {
      invalidate: (url, request) =>
        invalidation.invalidateUrl(resolve(url, request), request === undefined),
      invalidateDuring: async ({ urls, request, ...options }, work) => {
        const resolved = urls.map((url) => resolve(url, request))
        return invalidation.invalidateDuring(resolved, request === undefined, options, work)
      },
    }
  }
}

/** A full URL as it is part of keys. */
function normalizedUrl(text: string, invalidation: Invalidation): string {
  const { protocol, host, pathname, search } = new URL(text)
  const request = { headers: { host }, protocol: protocol.slice(0, -1) }
  return invalidation.urlOf(request as unknown as FrameworkRequest, pathname + search)
}
