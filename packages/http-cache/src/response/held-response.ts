import type { ServerResponse } from 'node:http'

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
