import type { ServerResponse } from 'node:http'
import { reportError } from '../channels.ts'
import {
  IncompleteResponseError,
  type RenderDecisions,
  type Rendered,
  type Renderer,
  type RenderFacts,
} from '../exchange/renderer.ts'
import type { ResolvedOptions } from '../options.ts'
import { PrivateReads } from '../reads/private-reads.ts'
import { hideConditions } from '../request/request-headers.ts'
import type { FrameworkRequest } from '../request/request-key.ts'
import { Capture, type CaptureEvents } from '../response/capture.ts'
import { RequestedControls } from '../response/controls.ts'
import { coveredReads } from './create-exchange.ts'

/** Calls the rest of the application, which writes to the response of the client. */
export class LiveRenderer implements Renderer {
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
    const controls = new RequestedControls(request, response)
    const reads = new PrivateReads(request, response, coveredReads(request, this.#options))
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
    const factsOf = () => factsFrom(controls, reads)
    return new Promise((resolve, reject) => {
      const events: CaptureEvents = {
        onHead: (head) => {
          const facts = factsOf()
          reads.pause(true)
          const decision = decisions.onHead(head, facts)
          reads.pause(false)
          return decision
        },
        onForward: forward,
        onFrontRead: (name) => reads.addFrontRead(name),
        onOversize: () => decisions.onOversize(),
        onComplete: (captured) => {
          stop()
          return decisions.onComplete(captured, factsOf())
        },
        onEnd: (captured) => {
          stop()
          resolve({ captured, facts: factsOf() })
        },
        onAbort: () => {
          stop()
          reject(new IncompleteResponseError())
        },
      }
      const { maxBodyBytes } = this.#options
      new Capture(response, maxBodyBytes, events, request.socket ?? undefined)
      this.#call((error) => {
        decisions.onFail(factsOf())
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

export function factsFrom(controls: RequestedControls, reads: PrivateReads): RenderFacts {
  return {
    ttl: controls.requestedTtl,
    tags: controls.requestedTags,
    isExcluded: controls.isExcluded,
    privateRead: reads.read,
    headersRead: reads.headersRead,
    isOfRequest: reads.isOfRequest,
  }
}
