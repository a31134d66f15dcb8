import type { IncomingMessage, ServerResponse } from 'node:http'
import { publishResponse } from '../channels.ts'
import { Exchange } from '../exchange/exchange.ts'
import type { Renderer } from '../exchange/renderer.ts'
import { type ResolvedOptions, type ResponseCacheOptions, resolveOptions } from '../options.ts'
import { credentialIn } from '../request/bypass.ts'
import { hasWritePrecondition } from '../request/conditions.ts'
import { peekContent, withContent } from '../request/content.ts'
import {
  type FrameworkRequest,
  keysOf,
  ownKeysOf,
  type RequestKeys,
} from '../request/request-keys.ts'
import { formatCacheStatus, setCacheStatus } from '../response/cache-status.ts'
import { RequestedControls } from '../response/controls.ts'
import { ResponseEngine } from '../response-engine.ts'
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
    createRenderer: (keys: RequestKeys) => Renderer,
    bypass: () => void,
  ): void {
    const { options } = this
    if (!isCacheable(request.method, options)) {
      this.#passUncached(request, response, 'method')
      this.#invalidation.observe(request, response)
      bypass()
      return
    }
    const pass = () => {
      this.#passUncached(request, response, 'bypass')
      bypass()
    }
    const keys = keysFor(request, options)
    if (keys === undefined) {
      pass()
      return
    }
    // Before the content is read: the framework handles an error only until this method returns.
    const tags = options.tags(request)
    useContent(request, keys, options, (complete) => {
      if (complete === undefined) {
        pass()
        return
      }
      const renderer = createRenderer(complete)
      this.#engine.handle(new Exchange(request, response, complete, renderer, options, tags))
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

/** Whether a method is one of those whose responses are stored. */
function isCacheable(method: string | undefined, { maxQueryBytes }: ResolvedOptions): boolean {
  return method === 'GET' || method === 'HEAD' || (method === 'QUERY' && maxQueryBytes > 0)
}

/**
 * Adds the content of a request to its keys. Calls `use` with them, or with `undefined` if the request bypasses the cache; at
 * once unless it has content.
 */
function useContent(
  request: FrameworkRequest,
  keys: RequestKeys,
  options: ResolvedOptions,
  use: (keys: RequestKeys | undefined) => void,
): void {
  if (request.method !== 'QUERY') {
    use(keys)
    return
  }
  peekContent(request, options.maxQueryBytes, (content) =>
    use(content && withContent(keys, request, content)),
  )
}

function keysFor(request: FrameworkRequest, options: ResolvedOptions): RequestKeys | undefined {
  const { when, key } = options
  if (hasWritePrecondition(request)) return undefined
  if (uncoveredCredential(request, options) !== undefined) return undefined
  if (when !== undefined && !isPermitted(when(request))) return undefined
  return key === undefined ? keysOf(request, options.keys) : ownKeysOf(request, key, options.keys)
}

/** Returns the name of a header that identifies the sender of a request, so that it bypasses the cache. */
function uncoveredCredential(
  { headers }: FrameworkRequest,
  { isPublic, variation }: ResolvedOptions,
): string | undefined {
  return isPublic || variation.coversAll ? undefined : credentialIn(headers, variation.covers)
}

/** @throws TypeError for a promise, which would permit every request */
function isPermitted(result: unknown): boolean {
  if (result === undefined || typeof result === 'boolean') return result === true
  throw new TypeError('when must return a boolean, and no promise.')
}
