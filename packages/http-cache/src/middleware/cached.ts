import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  IncompleteResponseError,
  type RenderDecisions,
  type Rendered,
  type Renderer,
  StreamedResponseError,
} from '../exchange/renderer.ts'
import { isEventStream, textOf } from '../headers/header-list.ts'
import type { ResolvedOptions, ResponseCacheOptions } from '../options.ts'
import type { Refusal } from '../policy/storing.ts'
import { hideConditions } from '../request/conditions.ts'
import type { FrameworkRequest, RequestKeys } from '../request/request-keys.ts'
import { Capture } from '../response/capture.ts'
import { RequestedControls } from '../response/controls.ts'
import { CachedRoute } from './cached-route.ts'
import { type DetachedPair, detach } from './detached-pair.ts'
import type { InvalidationMethods } from './invalidation.ts'
import { observeHandler } from './observe-handler.ts'

/** A handler of Express 4 and 5, and of `createServer` of `node:http`. */
export interface CachedHandler<Request, Response> extends InvalidationMethods {
  (request: Request, response: Response, next?: (error?: unknown) => void): void
}

/**
 * Returns a handler whose responses are stored. `handler` renders them with a request and a response of its own: a stale
 * response can be refreshed in the background, and a client that disconnects does not end the rendering for the others.
 * The response is sent once it is complete.
 *
 * @throws TypeError for an unknown option, and without a handler
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
  if (typeof handler !== 'function') throw new TypeError(noHandler)
  const call = handler as unknown as Handler
  const listener = (request: Request, response: Response, next?: (error?: unknown) => void) => {
    const createRenderer = (keys?: RequestKeys) =>
      new DetachedRenderer(request, response, call, next, route.options, keys?.content)
    route.handle(request, response, createRenderer, () => createRenderer().bypass())
  }
  return Object.assign(listener, route.invalidationMethods())
}

const noHandler =
  'cached: the second argument must be the handler: cached({ cache }, (request, response) => response.end()).'

/** A handler of `node:http` or Express. */
type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => unknown

/** Calls a handler with a request and a response of its own, so that it needs no client. */
class DetachedRenderer implements Renderer {
  readonly isDetached = true
  readonly #request: FrameworkRequest
  readonly #response: ServerResponse
  readonly #handler: Handler
  readonly #next: ((error?: unknown) => void) | undefined
  readonly #options: ResolvedOptions
  readonly #content: Buffer | undefined
  #pair: DetachedPair | undefined

  constructor(
    request: FrameworkRequest,
    response: ServerResponse,
    handler: Handler,
    next: ((error?: unknown) => void) | undefined,
    options: ResolvedOptions,
    content?: Buffer,
  ) {
    this.#request = request
    this.#response = response
    this.#handler = handler
    this.#next = next
    this.#options = options
    this.#content = content
  }

  prepare(): void {
    this.#pair = detach(this.#request, this.#response, this.#content)
  }

  render({ validators, onFail }: RenderDecisions): Promise<Rendered> {
    this.#pair ??= detach(this.#request, this.#response, this.#content)
    const { request, response } = this.#pair
    hideConditions(request, validators)
    const { reads, facts } = observeHandler(request, response, this.#options, this.#request)
    return new Promise<Rendered>((resolve, reject) => {
      const stream = (refusal: Refusal) => {
        onFail(facts())
        reject(new StreamedResponseError(refusal))
        response.destroy()
      }
      const { maxBodyBytes } = this.#options
      new Capture(response, maxBodyBytes, {
        onHead: ({ headers }) => {
          if (isEventStream(textOf(headers['content-type']))) stream('event-stream')
          return 'send'
        },
        onForward: () => {},
        onFrontRead: (name) => reads.addFrontRead(name),
        onOversize: () => stream('too-large'),
        onComplete: () => 'send',
        onEnd: (captured) => resolve({ captured, facts: facts() }),
        onAbort: () => reject(new IncompleteResponseError()),
      })
      const next = (error?: unknown) => {
        onFail(facts())
        reject(error ?? new UnhandledRequestError())
      }
      // Express calls it for errors of `render` and `sendFile`. That of the original would answer the client.
      Object.assign(request, { next })
      callHandler(this.#handler, request, response, next)
    }).finally(() => reads.stop())
  }

  stop(): void {
    this.#pair?.response.destroy()
  }

  bypass(): void {
    const request = this.#request
    const response = this.#response
    new RequestedControls(request, response)
    const next = (error?: unknown) => this.#pass(error)
    callHandler(this.#handler, request, response, next)
  }

  fail(error: unknown): void {
    const hasLeft = this.#response.destroyed || this.#request.socket?.destroyed
    if (error instanceof IncompleteResponseError && hasLeft) return
    if (error instanceof UnhandledRequestError) this.#pass(undefined)
    else this.#pass(error)
  }

  #pass(error: unknown): void {
    if (this.#next !== undefined) {
      this.#next(error)
      return
    }
    const response = this.#response
    if (response.headersSent || response.destroyed) {
      response.destroy()
      return
    }
    response.statusCode = error === undefined ? 404 : 500
    response.end()
  }
}

/** The handler has called `next` without an error. */
class UnhandledRequestError extends Error {
  override readonly name: string = 'UnhandledRequestError'
}

/** Calls `next` with an error that the handler throws, or its promise rejects with. */
function callHandler(
  handler: Handler,
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
): void {
  try {
    Promise.resolve(handler(request, response, next)).catch((error) => next(error ?? new Error()))
  } catch (error) {
    next(error ?? new Error())
  }
}
