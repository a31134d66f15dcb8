import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Headers } from '../headers/header-list.ts'
import { onSocketClose } from '../reads/socket-watch.ts'
import { FrontHeaders } from './front-headers.ts'
import { applyHead, bodyArguments, holdResponse, isInvalidChunk } from './response-methods.ts'

/** The status and the headers of a response before they are sent. */
export interface ResponseHead {
  readonly status: number
  readonly message: string
  /** All of them, also those that middleware in front has set. */
  readonly headers: Headers
  /** Those that were set since the capture began, also to the value that they had. Of `Vary`, what was added. */
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

/**
 * Whether a response is sent as the handler has written it, or held back because another one is sent instead. `'pass'`
 * sends one that is not stored: its body is not kept.
 */
export type Decision = 'send' | 'hold' | 'pass'

export interface CaptureEvents {
  /** Called before a response is sent whose body is not complete yet. */
  onHead(head: ResponseHead): Decision
  /** Called before and after a method of the response runs that middleware in front may have replaced. */
  onForward(isRunning: boolean): void
  /** Called when the handler reads a header of the response that middleware in front has set, or keeps its status. */
  onFrontRead(name: string): void
  /** Called before a complete response is sent. */
  onComplete(response: CapturedResponse): Decision
  /** Called once the response has ended; also one that `onHead` has decided about. */
  onEnd(response: CapturedResponse): void
  /** Called once if the body cannot be kept any more while it is being sent. */
  onOversize(): void
  /** Called if the response will not be completed. */
  onAbort(): void
}

type Method = (...args: unknown[]) => unknown
type Methods = Record<'writeHead' | 'write' | 'end' | 'flushHeaders' | 'destroy', Method>

/**
 * Observes what a handler writes. A response that is passed to `end` in one piece is complete before anything is sent.
 *
 * Other requests may wait for the response, and none of them may depend on this client:
 * - While the body is kept, up to `maxBytes`, the handler never waits for its client: `write` returns `true`. Afterwards the
 *   client determines the speed.
 * - If the client leaves before `end`, the response is not complete, whatever the handler writes then: many handlers
 *   check that, and end with a part of it.
 */
export class Capture {
  readonly #response: ServerResponse
  readonly #events: CaptureEvents
  readonly #originals: Methods
  readonly #methods: Methods
  readonly #front: FrontHeaders
  /** The status that middleware in front has set, and its message. */
  readonly #frontStatus: readonly [number, string | undefined]
  readonly #maxBytes: number
  #chunks: Buffer[] | undefined = []
  #bytes = 0
  #head: ResponseHead | undefined
  #decision: 'send' | 'hold' | undefined
  #isOver = false
  readonly #socket: Socket | undefined
  readonly #unwatch: () => void
  /** Whether `writeHead` was called. */
  #hasHead = false

  /**
   * @param maxBytes bodies that are larger are not kept
   * @param socket of the client
   */
  constructor(response: ServerResponse, maxBytes: number, events: CaptureEvents, socket?: Socket) {
    this.#response = response
    this.#events = events
    this.#maxBytes = maxBytes
    this.#front = new FrontHeaders(response, (name) => events.onFrontRead(name))
    this.#frontStatus = [response.statusCode, response.statusMessage]
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
    this.#socket = socket
    const abort = () => this.#abort()
    response.once('close', abort)
    this.#unwatch = socket === undefined ? () => {} : onSocketClose(socket, abort)
    this.#hideBackpressure()
  }

  /** Node and libraries check these before they write. */
  #hideBackpressure(): void {
    const response = this.#response
    const shown = { writableNeedDrain: false, writableLength: 0 } as const
    for (const name of ['writableNeedDrain', 'writableLength'] as const) {
      const get = () =>
        this.#isFree ? shown[name] : Reflect.get(Object.getPrototypeOf(response), name, response)
      Object.defineProperty(response, name, { configurable: true, get })
    }
  }

  /** Whether the handler may write on although its client does not read. */
  get #isFree(): boolean {
    return !this.#isOver && this.#chunks !== undefined
  }

  /** Node emits `close` later than a handler can notice that the client has left. */
  #checkClient(): void {
    const { destroyed } = this.#response
    if (destroyed || this.#socket?.destroyed || this.#socket?.writableEnded) this.#abort()
  }

  #writeHead(args: unknown[]): unknown {
    if (this.#isOver || this.#decision !== undefined) return this.#send('writeHead', args)
    this.#hasHead = true
    applyHead(this.#response, args)
    this.#hideHeadersUnsent()
    return this.#response
  }

  #write(args: unknown[]): unknown {
    this.#checkClient()
    if (this.#isOver) return this.#send('write', args)
    const { chunk, callback } = bodyArguments(args)
    this.#completeHead()
    const decision = this.#decideHead()
    this.#keep(chunk)
    if (decision === 'send') {
      if (!this.#isFree) return this.#send('write', args)
      const withoutCallback = args.filter((arg) => typeof arg !== 'function')
      this.#send('write', withoutCallback)
    }
    if (callback !== undefined) process.nextTick(callback)
    return true
  }

  #flushHeaders(): unknown {
    this.#checkClient()
    if (this.#isOver) return this.#send('flushHeaders', [])
    this.#completeHead()
    return this.#decideHead() === 'send' ? this.#send('flushHeaders', []) : undefined
  }

  #end(args: unknown[]): unknown {
    this.#checkClient()
    if (this.#isOver || isInvalidChunk(args[0])) return this.#send('end', args)
    const { chunk, callback } = bodyArguments(args)
    const isWhole = this.#decision === undefined
    this.#completeHead()
    this.#keep(chunk)
    this.#showHeadersSent()
    const captured = this.#captured(isWhole ? chunk : undefined)
    if (isWhole) this.#decision = this.#events.onComplete(captured) === 'hold' ? 'hold' : 'send'
    const decision = this.#decision
    this.#isOver = true
    this.#unwatch()
    if (decision === 'hold') this.#hold()
    if (decision === 'hold' && callback !== undefined) this.#response.once('finish', callback)
    const result = decision === 'hold' ? this.#response : this.#send('end', args)
    this.#events.onEnd(captured)
    return result
  }

  #destroy(args: unknown[]): unknown {
    this.#abort()
    return this.#send('destroy', args)
  }

  #abort(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#unwatch()
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

  #decideHead(): 'send' | 'hold' {
    if (this.#decision === undefined) {
      this.#showHeadersSent()
      const decision = this.#events.onHead(this.#headNow())
      if (decision === 'pass') this.#chunks = undefined
      this.#decision = decision === 'hold' ? 'hold' : 'send'
      if (decision === 'hold') this.#hideHeadersUnsent()
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
    const [frontCode, frontMessage] = this.#frontStatus
    const isFront = statusCode !== 200 && statusCode === frontCode
    if (isFront || (statusMessage && statusMessage === frontMessage))
      this.#events.onFrontRead('status')
    const headers = this.#front.current()
    return {
      status: statusCode,
      message: statusMessage ?? '',
      headers,
      own: this.#front.ownOf(headers),
      removed: this.#front.removedFrom(headers),
    }
  }

  /** @param whole a body in one piece, which is kept also if it is large */
  #captured(whole: Buffer | undefined): CapturedResponse {
    const head = this.#headNow()
    const length = head.headers['content-length']
    const isComplete = length === undefined || Number(length) === this.#bytes
    return { ...head, body: this.#chunks ? joined(this.#chunks) : whole, isComplete }
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
    this.#front.restore()
    response.statusCode = 200
    response.statusMessage = undefined as unknown as string
  }

  #keep(chunk: Buffer | undefined): void {
    if (chunk === undefined) return
    this.#bytes += chunk.byteLength
    if (this.#chunks === undefined) return
    if (this.#bytes <= this.#maxBytes) {
      this.#chunks.push(chunk)
      return
    }
    this.#chunks = undefined
    if (this.#decision === 'send') this.#events.onOversize()
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
      this.#unwatch()
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
