import type { ServerResponse } from 'node:http'
import {
  type CallHandler,
  type HeaderMethod,
  hasReplacedPrototype,
  headersSentError,
  type Method,
  type Replaced,
  replaceMethods,
} from './patched-messages.ts'

type Call = readonly [method: Method, args: unknown[]]

export interface Hold {
  /** Called before the headers are sent. The response waits for what it returns, if anything. */
  commit(): Promise<void> | undefined
  /** Called before the headers are sent if they may have changed since `commit`, as middleware does in `writeHead`. */
  recheck(): void
  /** Called if `commit` fails: takes back what it has changed. */
  undo(): void
  /**
   * Called if `commit` fails, unless the response reports an error itself: the response has not begun, and its headers are
   * as they were before. Also called if Node refuses what the application responds, after `commit`.
   */
  onError(error: unknown): void
  /** Called when the response ends. */
  onEnd(): void
}

/** Whether an object is a response. For an upgrade, applications of `ws` and Socket.IO pass a middleware an empty object. */
export function isResponse(response: Partial<ServerResponse>): boolean {
  return typeof response.getHeaderNames === 'function'
}

/** The cookies, and what says whether shared caches may store a response. */
const movedHeader =
  /^(?:set-cookie|age|expires|x-accel-expires|(?:.+-)?(?:cache|surrogate|edge)-control)$/i

/** Holds a response from the first call that would send its headers until `commit` has finished. */
export class HeldResponse implements CallHandler {
  readonly #response: ServerResponse
  readonly #hold: Hold
  readonly #replaced: Replaced
  readonly #headersBefore: readonly string[]
  /** What another middleware holds the response with. */
  readonly #outer: HeldResponse | undefined
  /** `undefined` before and after the response waits. */
  #queue: Call[] | undefined
  /** When the response began to wait. */
  #statusCode = 200
  /** Whether this middleware itself sets a header. */
  #isSetting = false
  #hasCommitted = false
  #needsDrain = false
  /** Whether `commit` has failed, and the handler may send further chunks before the error handler responds. */
  #isAbandoned = false

  constructor(response: ServerResponse, hold: Hold, outer: HeldResponse | undefined) {
    this.#response = response
    this.#hold = hold
    this.#headersBefore = response.getHeaderNames()
    this.#outer = outer
    this.#replaced = outer === undefined ? replaceMethods(response) : outer.#replaced
  }

  get hasOwnMethods(): boolean {
    return this.#replaced.areOwn
  }

  /** Whether the response can wait: it does not if an application of another copy of the framework responds. */
  get canWait(): boolean {
    return this.hasOwnMethods || hasReplacedPrototype(this.#response)
  }

  get isWaiting(): boolean {
    return (this.#queue !== undefined && !this.#isSetting) || this.#outer?.isWaiting === true
  }

  callHeader(method: HeaderMethod, args: unknown[]): unknown {
    return this.#replaced.others[method].apply(this.#response, args as never[])
  }

  /** Sets a header, also if the response waits. */
  setHeader(name: string, value: string | string[]): void {
    this.#isSetting = true
    this.#response.setHeader(name, value)
    this.#isSetting = false
  }

  call(method: Method, args: unknown[]): unknown {
    if (this.#queue !== undefined) return this.#enqueue(method, args)
    if (this.#hasCommitted) {
      if (this.#isAbandoned) this.#avoidSuccess(method)
      if (method === 'writeHead' && !this.#response.headersSent) {
        moveHeaders(this.#response, args)
        this.#hold.recheck()
      }
      return this.#send(method, args)
    }
    if (method === 'writeHead') moveHeaders(this.#response, args)
    this.#hasCommitted = true
    const committing = this.#tryCommit()
    if (committing === undefined) return this.#send(method, args)
    if (!this.canWait) {
      committing.catch((error) => this.#hold.onError(error))
      return this.#send(method, args)
    }
    const returned = this.#begin(method, args)
    committing.then(
      () => this.#release(this.#stopWaiting()),
      (error) => this.#fail(error),
    )
    return returned
  }

  #tryCommit(): Promise<void> | undefined {
    try {
      return this.#hold.commit()
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** From now on, the response behaves as if its headers had been sent: the handler must not send a second one. */
  #begin(method: Method, args: unknown[]): unknown {
    this.#queue = []
    if (method === 'writeHead') this.#response.statusCode = Number(args[0])
    this.#statusCode = this.#response.statusCode
    // On Express, this is faster than an accessor of the prototype: V8 stops to create hidden classes for the response.
    Object.defineProperty(this.#response, 'headersSent', { configurable: true, value: true })
    return this.#enqueue(method, args)
  }

  #enqueue(method: Method, args: unknown[]): unknown {
    const queue = this.#queue as Call[]
    const hasEnded = queue.some(([queued]) => queued === 'end')
    if (method === 'writeHead' && queue.length > 0) return this.#refuseHead(args)
    if (!hasEnded) queue.push([method, args])
    if (method !== 'write') return this.#response
    this.#needsDrain = true
    return false
  }

  /** Middlewares that compress call `writeHead` before each chunk, until Node has made the text of the headers. */
  #refuseHead(args: unknown[]): ServerResponse {
    const isImplicit = args.length === 1 && args[0] === this.#response.statusCode
    if (!isImplicit) throw headersSentError('write')
    return this.#response
  }

  #release(queue: readonly Call[]): void {
    let isWritable: unknown = true
    try {
      for (const [method, args] of queue) isWritable = this.#send(method, args)
    } catch (error) {
      // For example, a chunk that is neither a text nor bytes. The handler has returned long ago.
      this.#hold.onError(error)
      return
    }
    const hasEnded = queue.some(([method]) => method === 'end')
    if (this.#needsDrain && isWritable !== false && !hasEnded) this.#response.emit('drain')
  }

  #fail(error: unknown): void {
    const queue = this.#stopWaiting()
    this.#hold.undo()
    if (this.#response.statusCode >= 500) {
      this.#release(queue)
      return
    }
    for (const name of this.#response.getHeaderNames()) {
      if (!this.#headersBefore.includes(name)) this.#response.removeHeader(name)
    }
    this.#hold.onError(error)
    this.#isAbandoned = !queue.some(([method]) => method === 'end')
  }

  /** The rest of a response must not look like all of it. An error handler sets a status of its own. */
  #avoidSuccess(method: Method): void {
    this.#isAbandoned = false
    const response = this.#response
    const isUnchanged = method !== 'writeHead' && response.statusCode === this.#statusCode
    if (isUnchanged && !response.headersSent) response.statusCode = 500
  }

  #stopWaiting(): Call[] {
    const queue = this.#queue ?? []
    this.#queue = undefined
    const response = this.#response
    Reflect.deleteProperty(response, 'headersSent')
    // To assign the same number would add a property.
    if (response.statusCode !== this.#statusCode) response.statusCode = this.#statusCode
    return queue
  }

  #send(method: Method, args: unknown[]): unknown {
    if (method === 'end') this.#hold.onEnd()
    if (this.#outer !== undefined) return this.#outer.call(method, args)
    const { writeHead, others } = this.#replaced
    const original = method === 'writeHead' ? writeHead : others[method]
    return original.apply(this.#response, args as never[])
  }
}

/**
 * Moves headers among the arguments of `writeHead` to the response: the cookies, which would replace that of the session, and
 * those that say whether shared caches may store the response.
 */
function moveHeaders(response: ServerResponse, args: unknown[]): void {
  // The headers may be in place of the reason.
  const index = typeof args[1] === 'string' || args[2] ? 2 : 1
  const headers = args[index]
  if (Array.isArray(headers)) args[index] = moveListedHeaders(response, headers)
  else if (typeof headers === 'object' && headers !== null) {
    args[index] = moveNamedHeaders(response, headers as Record<string, string | string[]>)
  }
}

/** Returns the other headers. */
function moveNamedHeaders(
  response: ServerResponse,
  { ...others }: Record<string, string | string[]>,
): Record<string, string | string[]> {
  for (const [name, value] of Object.entries(others)) {
    if (!isMoved(name)) continue
    delete others[name]
    response.setHeader(name, value)
  }
  return others
}

/** Returns the other headers. */
function moveListedHeaders(response: ServerResponse, headers: unknown[]): unknown[] {
  // Node accepts pairs only if the response has no header of its own.
  const list: unknown[] = Array.isArray(headers[0]) ? headers.flat() : headers
  // Node throws an error.
  if (list.length % 2 !== 0) return headers
  const moved = new Map<string, [name: string, values: string[]]>()
  const others: unknown[] = []
  for (let index = 0; index < list.length; index += 2) {
    const [name, value] = [String(list[index]), list[index + 1]]
    if (isMoved(name)) {
      const [first, values] = moved.get(name.toLowerCase()) ?? [name, []]
      moved.set(name.toLowerCase(), [first, [...values, ...([value].flat() as string[])]])
    } else others.push(list[index], value)
  }
  for (const [name, values] of moved.values()) response.setHeader(name, values)
  return others
}

function isMoved(name: string): boolean {
  return movedHeader.test(name)
}
