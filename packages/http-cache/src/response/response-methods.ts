import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { types } from 'node:util'

/** The arguments of `write` and `end`. */
export interface BodyArguments {
  readonly chunk: Buffer | undefined
  readonly callback: (() => void) | undefined
}

/** Returns the bytes that `write` or `end` would send. */
export function bodyArguments(args: readonly unknown[]): BodyArguments {
  const [chunk, encoding] = args
  const callback = args.find((arg) => typeof arg === 'function') as (() => void) | undefined
  if (typeof chunk === 'string') {
    const name = typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8'
    return { chunk: Buffer.from(chunk, name), callback }
  }
  if (types.isUint8Array(chunk)) {
    // Copied, because a stream may use its buffer again.
    return { chunk: Buffer.from(chunk), callback }
  }
  return { chunk: undefined, callback }
}

/** Whether `end` throws an error for a chunk. */
export function isInvalidChunk(chunk: unknown): boolean {
  if (!chunk || typeof chunk === 'string' || typeof chunk === 'function') return false
  return !types.isUint8Array(chunk)
}

/**
 * Does what `writeHead` does, without sending anything, so that `getHeaders` returns all headers: Node does not return
 * those that are passed to `writeHead` only.
 */
export function applyHead(response: ServerResponse, args: readonly unknown[]): void {
  const [status, second, third] = args
  response.statusCode = Number(status)
  if (typeof second === 'string') response.statusMessage = second
  const headers = typeof second === 'string' ? third : (third ?? second)
  if (Array.isArray(headers)) applyList(response, headers)
  else if (typeof headers === 'object' && headers !== null) {
    for (const [name, value] of Object.entries(headers as OutgoingHttpHeaders)) {
      if (value !== undefined) response.setHeader(name, value)
    }
  }
}

/** Names and values in turn, or pairs of them. A repeated name adds a line. */
function applyList(response: ServerResponse, list: readonly unknown[]): void {
  const pairs = Array.isArray(list[0])
    ? (list as [string, OutgoingHttpHeader][])
    : Array.from({ length: list.length / 2 }, (_, index) => [list[index * 2], list[index * 2 + 1]])
  const seen = new Set<string>()
  for (const [name, value] of pairs as [string, OutgoingHttpHeader][]) {
    const key = name.toLowerCase()
    const existing = seen.has(key) ? response.getHeader(key) : undefined
    const lines = existing === undefined ? value : [existing, value].flat().map(String)
    response.setHeader(name, lines as number | string | string[])
    seen.add(key)
  }
}

/** Node throws `ERR_HTTP_HEADERS_SENT` for changes of the headers while this is set. */
interface Head {
  _header: string | null
}

const releases = new WeakMap<ServerResponse, () => void>()

/**
 * Whether the headers of a response were sent, or it is held. Reads a field of Node, where there is one: on Express, V8 looks
 * up what a response inherits, such as `headersSent`, anew for each response. Of a response of HTTP/2, it is a boolean.
 */
export function hasHead(response: ServerResponse): boolean {
  const { _header } = response as unknown as Partial<Head>
  return _header === undefined ? response.headersSent : Boolean(_header)
}

/**
 * Makes a response that the application has ended behave as one that was sent, although the cache sends it later:
 * `headersSent` and `writableEnded` are true, its headers cannot be changed, and further bodies are ignored. Middleware
 * checks this in order not to answer twice. @param onRelease restores what is to be sent
 */
export function holdResponse(response: ServerResponse, onRelease?: () => void): void {
  const { statusCode, statusMessage, writeHead, write, end, flushHeaders } = response
  const hasHead = response.headersSent
  const head = response as unknown as Head
  // A response of HTTP/2 derives both from its stream.
  const isField = Object.hasOwn(response, '_header')
  if (!hasHead && isField) head._header = 'held'
  else if (!hasHead) {
    Object.defineProperty(response, 'headersSent', { configurable: true, value: true })
  }
  Object.defineProperty(response, 'writableEnded', { configurable: true, value: true })
  Object.assign(response, {
    writeHead: () => response,
    write: (...args: unknown[]) => {
      callOnFinish(response, args)
      return false
    },
    end: (...args: unknown[]) => {
      callOnFinish(response, args)
      return response
    },
    flushHeaders: () => {},
  })
  releases.set(response, () => {
    if (!hasHead && isField) head._header = null
    else if (!hasHead) Reflect.deleteProperty(response, 'headersSent')
    Reflect.deleteProperty(response, 'writableEnded')
    Object.assign(response, { statusCode, statusMessage, writeHead, write, end, flushHeaders })
    onRelease?.()
  })
}

/** Permits the cache to send a response that was held. Returns whether it was held. */
export function releaseResponse(response: ServerResponse): boolean {
  const release = releases.get(response)
  if (release === undefined) return false
  releases.delete(response)
  release()
  return true
}

/** The callback of a `write` or an `end` that is ignored. */
function callOnFinish(response: ServerResponse, args: unknown[]): void {
  const callback = args.find((arg) => typeof arg === 'function') as (() => void) | undefined
  if (callback !== undefined) response.once('finish', callback)
}
