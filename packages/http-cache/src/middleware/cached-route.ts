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
import { type InvalidatedUrl, Invalidation, type InvalidationMethods } from './invalidation.ts'

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
    return {
      invalidate: async (url, request) =>
        invalidation.invalidateUrl(urlIn(url, request, invalidation)),
      invalidateDuring: async ({ urls, request, ...options }, work) => {
        if (!Array.isArray(urls)) throw noUrls()
        const resolved = urls.map((url) => urlIn(url, request, invalidation))
        return invalidation.invalidateDuring(resolved, options, work)
      },
    }
  }
}

/**
 * What a URL, or a path on the host of a request, is as part of keys.
 *
 * @throws TypeError for any other text, which would invalidate nothing
 */
function urlIn(
  text: string,
  request: IncomingMessage | undefined,
  invalidation: Invalidation,
): InvalidatedUrl {
  if (request !== undefined && typeof text === 'string' && text.startsWith('/'))
    return { url: invalidation.urlOf(request, encodedPath(text)), isPublic: false }
  if (!URL.canParse(text)) throw notUrl(text)
  const { protocol, host, pathname, search } = new URL(text)
  if (protocol !== 'http:' && protocol !== 'https:') throw notUrl(text)
  const named = { headers: { host }, protocol: protocol.slice(0, -1) }
  const url = invalidation.urlOf(named as unknown as FrameworkRequest, pathname + search)
  return { url, isPublic: true }
}

/** A path as clients request it, such as `/caf%C3%A9` for `/café`. */
function encodedPath(text: string): string {
  return text.toWellFormed().replaceAll(/[^!-~]+/g, encodeURIComponent)
}

function notUrl(text: unknown): TypeError {
  return new TypeError(
    `invalidate: ${JSON.stringify(text)} is neither a full URL, such as 'https://shop.example/products/1', nor a path with the ` +
      "request whose host it is on: invalidate('/products/1', request).",
  )
}

function noUrls(): TypeError {
  return new TypeError(
    "invalidateDuring: urls must be an array, such as ['https://shop.example/products/1'].",
  )
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
