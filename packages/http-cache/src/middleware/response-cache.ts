import type { IncomingMessage, ServerResponse } from 'node:http'
import { reportError } from '../channels.ts'
import {
  IncompleteResponseError,
  type RenderDecisions,
  type Rendered,
  type Renderer,
} from '../exchange/renderer.ts'
import type { ResolvedOptions, ResponseCacheOptions } from '../options.ts'
import { hideConditions } from '../request/conditions.ts'
import type { FrameworkRequest } from '../request/request-keys.ts'
import { Capture, type CaptureEvents } from '../response/capture.ts'
import { RequestedControls } from '../response/controls.ts'
import { CachedRoute } from './cached-route.ts'
import type { InvalidationMethods } from './invalidation.ts'
import { observeHandler } from './observe-handler.ts'

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

/** Calls the rest of the application, which writes to the response of the client. */
class LiveRenderer implements Renderer {
  readonly isDetached = false
  readonly #request: FrameworkRequest
  readonly #response: ServerResponse
  readonly #next: () => void
  readonly #options: ResolvedOptions
  #isCalled = false

  constructor(
    request: FrameworkRequest,
    response: ServerResponse,
    next: () => void,
    options: ResolvedOptions,
  ) {
    this.#request = request
    this.#response = response
    this.#next = next
    this.#options = options
  }

  /** @throws TypeError if the headers of the request are frozen */
  render(decisions: RenderDecisions): Promise<Rendered> {
    const request = this.#request
    const response = this.#response
    // The client has gone while the request waited: nobody would write a response.
    if (response.destroyed || request.socket?.destroyed)
      return Promise.reject(new IncompleteResponseError())
    const showConditions = hideConditions(request, decisions.validators)
    const { reads, facts } = observeHandler(request, response, this.#options)
    let hasEnded = false
    // Middleware in front evaluates the request of the client, and its reads do not count.
    const forward = (isRunning: boolean) => {
      if (hasEnded) return
      showConditions(isRunning)
      reads.pause(isRunning)
    }
    const stop = () => {
      forward(true)
      hasEnded = true
      reads.stop()
    }
    return new Promise((resolve, reject) => {
      const events: CaptureEvents = {
        onHead: (head) => {
          const known = facts()
          reads.pause(true)
          const decision = decisions.onHead(head, known)
          reads.pause(false)
          return decision
        },
        onForward: forward,
        onFrontRead: (name) => reads.addFrontRead(name),
        onOversize: () => decisions.onOversize(),
        onComplete: (captured) => {
          stop()
          return decisions.onComplete(captured, facts())
        },
        onEnd: (captured) => {
          stop()
          resolve({ captured, facts: facts() })
        },
        onAbort: () => {
          stop()
          reject(new IncompleteResponseError())
        },
      }
      const { maxBodyBytes } = this.#options
      new Capture(response, maxBodyBytes, events, request.socket ?? undefined)
      this.#call((error) => {
        decisions.onFail(facts())
        reject(error)
      })
    })
  }

  bypass(): void {
    new RequestedControls(this.#request, this.#response)
    this.#call(() => {})
  }

  /** The application handles its errors itself. It runs without the cache if its request cannot be observed. */
  fail(error: unknown): void {
    if (this.#isCalled || error instanceof IncompleteResponseError) return
    reportError(this.#options.cache.name, this.#request.url ?? '', error)
    this.bypass()
  }

  /** An error that the application throws is not one of the cache. */
  #call(reject: (error: unknown) => void): void {
    this.#isCalled = true
    try {
      this.#next()
    } catch (error) {
      reject(error)
      queueMicrotask(() => {
        throw error
      })
    }
  }
}
