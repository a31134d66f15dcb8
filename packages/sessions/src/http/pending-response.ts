import { type IncomingMessage, type OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Deferred } from '@stowage/core/internal'
import type { SessionMiddleware } from './session-middleware.ts'

type Header = readonly [name: string, value: number | string | string[]]

/**
 * Stands for a response that a framework sends itself: the middleware holds it as it holds one of Node, with the same rules.
 * The framework commits it when it has the response, and sends that with the headers that the session needs.
 */
export class PendingResponse {
  readonly #response: ServerResponse
  /** Until the session is read, and then until it is stored. */
  #step = new Deferred<void>()
  #hasBegun = false

  private constructor(middleware: SessionMiddleware, request: IncomingMessage) {
    const response = new ServerResponse(request)
    response.writeHead = () => {
      this.#step.resolve()
      return response
    }
    response.end = () => response
    this.#response = response
    middleware(request, response, (error) =>
      error ? this.#step.reject(error) : this.#step.resolve(),
    )
  }

  /** Reads the session of a request. Rejects if the store fails. */
  static async open(
    middleware: SessionMiddleware,
    request: IncomingMessage,
  ): Promise<PendingResponse> {
    const pending = new PendingResponse(middleware, request)
    await pending.#step.promise
    return pending
  }

  /**
   * Stores the session, before a response with this status and these headers is sent. Only the first call does.
   *
   * @returns the headers that the response must have instead. Rejects if the store fails, unless the response reports an error
   */
  async commit(status: number, headers: OutgoingHttpHeaders): Promise<Header[]> {
    if (this.#hasBegun) return []
    this.#hasBegun = true
    this.#step = new Deferred()
    const response = this.#response
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined) response.setHeader(name, value)
    }
    const before = response.getHeaders()
    response.statusCode = status
    response.writeHead(status)
    await this.#step.promise
    const after = Object.entries(response.getHeaders()) as Header[]
    return after.filter(([name, value]) => value !== before[name])
  }

  /** Publishes that the session was changed too late. To be called when the response has ended. */
  end(): void {
    if (this.#hasBegun) this.#response.end()
  }
}
