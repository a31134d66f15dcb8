import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  IncompleteResponseError,
  type RenderDecisions,
  type Rendered,
  type Renderer,
  StreamedResponseError,
} from '../exchange/renderer.ts'
import { textOf } from '../headers/header-list.ts'
import { isEventStream } from '../headers/media-types.ts'
import type { ResolvedOptions } from '../options.ts'
import type { Refusal } from '../policy/storing.ts'
import { PrivateReads } from '../reads/private-reads.ts'
import { hideConditions } from '../request/request-headers.ts'
import type { FrameworkRequest } from '../request/request-key.ts'
import { Capture } from '../response/capture.ts'
import { RequestedControls } from '../response/controls.ts'
import { coveredReads } from './create-exchange.ts'
import { type DetachedPair, detach } from './detached-pair.ts'
import { factsFrom } from './live-renderer.ts'

/** A handler of `node:http` or Express. */
export type Handler = (
  request: IncomingMessage,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => unknown

/** Calls a handler with a request and a response of its own, so that it needs no client. */
export class DetachedRenderer implements Renderer {
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
    const controls = new RequestedControls(request, response)
    const covered = coveredReads(this.#request, this.#options)
    const reads = new PrivateReads(request, response, covered, this.#request)
    return new Promise<Rendered>((resolve, reject) => {
      const stream = (refusal: Refusal) => {
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
        onEnd: (captured) => resolve({ captured, facts: factsFrom(controls, reads) }),
        onAbort: () => reject(new IncompleteResponseError()),
      })
      const next = (error?: unknown) => {
        onFail(factsFrom(controls, reads))
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
