import type { ServerResponse } from 'node:http'
import { copyHeaders, type Headers, isSameValue } from '../headers/header-list.ts'
import { holdResponse } from './held-response.ts'
import { applyHead, bodyArguments, isInvalidChunk } from './response-methods.ts'

/** The status and the headers of a response before they are sent. */
export interface ResponseHead {
  readonly status: number
  readonly message: string
  /** All of them, also those that middleware in front has set. */
  readonly headers: Headers
  /** Those that were set since the capture began. */
  readonly own: Headers
  /** Names of those that middleware in front has set, and the handler has removed. */
  readonly removed: readonly string[]
}

/** A response that a handler has completed. */
export interface CapturedResponse extends ResponseHead {
  /** `undefined` if it is larger than the limit. */
  readonly body: Buffer | undefined
  /** Whether all bytes that `Content-Length` announces were written. */
  readonly isComplete: boolean
}

/** Whether a response is sent as the handler has written it, or held back because another one is sent instead. */
export type Decision = 'send' | 'hold'

export interface CaptureEvents {
  /** Called before a response is sent whose body is not complete yet. */
  onHead(head: ResponseHead): Decision
  /** Called before and after a method of the response runs that middleware in front may have replaced. */
  onForward(isRunning: boolean): void
  /** Called before a complete response is sent. */
  onComplete(response: CapturedResponse): Decision
  /** Called once the response has ended; also one that `onHead` has decided about. */
  onEnd(response: CapturedResponse): void
  /** Called once if the body is larger than the limit while it is being sent. */
  onOversize(): void
  /** Called if the response will not be completed. */
  onAbort(): void
}

/** How long a handler has to complete a response whose client has gone, in milliseconds. */
const completionMs = 1_000

type Method = (...args: unknown[]) => unknown
type Methods = Record<'writeHead' | 'write' | 'end' | 'flushHeaders' | 'destroy', Method>

/**
 * Observes what a handler writes, without changing what it observes itself: the results and callbacks of `write`, and
 * `headersSent`. A response that is passed to `end` in one piece is complete before anything is sent.
 */
export class Capture {
  readonly #response: ServerResponse
  readonly #events: CaptureEvents
  readonly #originals: Methods
  readonly #methods: Methods
  readonly #before: Headers
  readonly #maxBytes: number
  #chunks: Buffer[] | undefined = []
  #bytes = 0
  #head: ResponseHead | undefined
  #decision: Decision | undefined
  #isOver = false
  /** Whether `writeHead` was called. */
  #hasHead = false

  /** @param maxBytes bodies that are larger are not kept */
  constructor(response: ServerResponse, maxBytes: number, events: CaptureEvents) {
    this.#response = response
    this.#events = events
    this.#maxBytes = maxBytes
    this.#before = copyHeaders(response.getHeaders())
    const { writeHead, write, end, flushHeaders, destroy } = response
    this.#originals = { writeHead, write, end, flushHeaders, destroy } as unknown as Methods
    this.#methods = {
      writeHead: (...args) => this.#writeHead(args),
      write: (...args) => this.#write(args),
      end: (...args) => this.#end(args),
      flushHeaders: () => this.#flushHeaders(),
      destroy: (...args) => this.#destroy(args),
    }
    Object.assign(response, this.#methods)
    response.once('close', () => this.#onClose())
  }

  #writeHead(args: unknown[]): unknown {
    if (this.#isOver || this.#decision !== undefined) return this.#send('writeHead', args)
    this.#hasHead = true
    applyHead(this.#response, args)
    this.#hideHeadersUnsent()
    return this.#response
  }

  #write(args: unknown[]): unknown {
    if (this.#isOver) return this.#send('write', args)
    const { chunk, callback } = bodyArguments(args)
    this.#completeHead()
    const decision = this.#decideHead()
    this.#keep(chunk)
    if (decision === 'send' && !this.#response.destroyed) return this.#send('write', args)
    if (callback !== undefined) process.nextTick(callback)
    return true
  }

  #flushHeaders(): unknown {
    if (this.#isOver) return this.#send('flushHeaders', [])
    this.#completeHead()
    return this.#decideHead() === 'send' ? this.#send('flushHeaders', []) : undefined
  }

  #end(args: unknown[]): unknown {
    if (this.#isOver || isInvalidChunk(args[0])) return this.#send('end', args)
    const { chunk, callback } = bodyArguments(args)
    const isWhole = this.#decision === undefined
    this.#completeHead()
    this.#keep(chunk)
    this.#showHeadersSent()
    const captured = this.#captured()
    if (isWhole) this.#decision = this.#events.onComplete(captured)
    const decision = this.#decision
    this.#isOver = true
    if (decision === 'hold') this.#hold()
    if (decision === 'hold' && callback !== undefined) this.#response.once('finish', callback)
    const result = decision === 'send' ? this.#send('end', args) : this.#response
    this.#events.onEnd(captured)
    return result
  }

  #destroy(args: unknown[]): unknown {
    this.#abort()
    return this.#send('destroy', args)
  }

  /**
   * The client has gone. A handler that has written nothing yet may complete its response nevertheless, which is kept for
   * other requests. They do not wait long for it, as many handlers stop; so does a stream that was connected by `pipe`.
   */
  #onClose(): void {
    if (this.#isOver) return
    if (this.#decision === undefined) {
      this.#response.once('unpipe', () => this.#abort())
      setTimeout(() => this.#abort(), completionMs).unref()
    } else this.#abort()
  }

  #abort(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#chunks = undefined
    this.#showHeadersSent()
    this.#events.onAbort()
  }

  /**
   * Middleware behind the cache may have replaced `writeHead`, in order to set headers such as `Set-Cookie` at the last
   * moment. They must be known before it is decided whether the response is stored.
   */
  #completeHead(): void {
    const response = this.#response
    if (this.#hasHead || response.writeHead === this.#methods.writeHead) return
    response.writeHead(response.statusCode)
  }

  #decideHead(): Decision {
    if (this.#decision === undefined) {
      this.#showHeadersSent()
      this.#decision = this.#events.onHead(this.#headNow())
      if (this.#decision === 'hold') this.#hideHeadersUnsent()
    }
    return this.#decision
  }

  /** Taken once: what is sent may have more headers. */
  #headNow(): ResponseHead {
    this.#head ??= this.#readHead()
    return this.#head
  }

  #readHead(): ResponseHead {
    const { statusCode, statusMessage } = this.#response
    const headers = copyHeaders(this.#response.getHeaders())
    const own: Record<string, string | string[]> = {}
    for (const name of Object.keys(headers)) {
      const value = headers[name] as string | string[]
      if (!isSameValue(value, this.#before[name])) own[name] = value
    }
    const isRemoved = (name: string) => headers[name] === undefined
    const removed = Object.keys(this.#before).filter(isRemoved)
    return { status: statusCode, message: statusMessage ?? '', headers, own, removed }
  }

  #captured(): CapturedResponse {
    const head = this.#headNow()
    const length = head.headers['content-length']
    const isComplete = length === undefined || Number(length) === this.#bytes
    return { ...head, body: this.#chunks && joined(this.#chunks), isComplete }
  }

  /** What replaces the response is sent past middleware behind the cache, for which it has ended. */
  #hold(): void {
    holdResponse(this.#response, () => {
      Object.assign(this.#response, this.#originals)
      this.#resetHead()
    })
  }

  /** Removes what the handler has set, as another response is sent. */
  #resetHead(): void {
    const response = this.#response
    for (const name of response.getHeaderNames()) {
      const before = this.#before[name]
      if (before === undefined) response.removeHeader(name)
      else response.setHeader(name, before)
    }
    response.statusCode = 200
    response.statusMessage = undefined as unknown as string
  }

  #keep(chunk: Buffer | undefined): void {
    if (chunk === undefined) return
    this.#bytes += chunk.byteLength
    if (this.#bytes <= this.#maxBytes) {
      this.#chunks?.push(chunk)
      return
    }
    const wasKept = this.#chunks !== undefined
    this.#chunks = undefined
    if (wasKept && this.#decision !== undefined) this.#events.onOversize()
  }

  /** As if they had been sent: the handler must not answer otherwise any more. */
  #hideHeadersUnsent(): void {
    Object.defineProperty(this.#response, 'headersSent', { configurable: true, value: true })
  }

  #showHeadersSent(): void {
    Reflect.deleteProperty(this.#response, 'headersSent')
  }

  #send(method: keyof Methods, args: unknown[]): unknown {
    this.#events.onForward(true)
    try {
      return this.#originals[method].apply(this.#response, args)
    } catch (error) {
      // The application answers with its error instead.
      this.#isOver = true
      this.#chunks = undefined
      this.#events.onAbort()
      throw error
    } finally {
      this.#events.onForward(false)
    }
  }
}

function joined(chunks: Buffer[]): Buffer {
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
}
