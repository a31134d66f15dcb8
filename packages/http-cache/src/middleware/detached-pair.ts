import { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable, Writable } from 'node:stream'
import { isPlain, sessionSymbols } from '../reads/added-properties.ts'
import { clientProperties } from '../reads/socket-watch.ts'
import type { FrameworkRequest } from '../request/request-keys.ts'

/** A request and a response without a client. */
export interface DetachedPair {
  readonly request: FrameworkRequest
  readonly response: ServerResponse
}

/** What Express adds to a response. */
type FrameworkResponse = ServerResponse & { app?: unknown; locals?: object; req?: unknown }

/** What middleware defines as accessors, whose values must be those of the original request. */
const inherited = ['session', 'user', 'cookies', 'signedCookies', 'cache']

/**
 * Returns a request with the URL, the headers and the parameters of another one, and a response whose output is discarded.
 * The response has the status and the headers that middleware in front has set: they may forbid that it is stored.
 * What a handler changes does not affect the originals. The client of the originals is not that of the pair: it may leave,
 * and a handler that checks `aborted`, `destroyed`, `closed` or the socket must not end with a part of its response.
 */
export function detach(
  original: FrameworkRequest,
  live: ServerResponse,
  content?: Buffer,
): DetachedPair {
  const socket = new DetachedSocket(original.socket)
  const request: FrameworkRequest = Object.create(original)
  ownProperties(request, original)
  own(request, 'headers', { ...original.headers })
  ownStream(request, original, socket, content)
  for (const name of inherited) if (name in original) inherit(request, original, name)
  // A session in front finds there what belongs to the response of the client.
  for (const name of sessionSymbols(original)) own(request, name, undefined)
  const response: FrameworkResponse = new ServerResponse(request)
  Object.setPrototypeOf(response, Object.getPrototypeOf(live))
  const { app, locals } = live as FrameworkResponse
  if (app !== undefined) response.app = app
  if (locals !== undefined) {
    // The methods of a Map need the Map itself.
    response.locals = isPlain(locals)
      ? Object.create(Object.getPrototypeOf(locals), Object.getOwnPropertyDescriptors(locals))
      : locals
  }
  response.statusCode = live.statusCode
  for (const name of live.getHeaderNames()) {
    response.setHeader(name, live.getHeader(name) as number | string | string[])
  }
  response.req = request
  own(request, 'res', response)
  // A handler may destroy the connection, in order to end a response that it cannot complete.
  socket.once('close', () => response.destroy())
  // `pipeline` destroys the response with the error of its source. The server of Node listens on its sockets as well.
  socket.on('error', () => {})
  response.assignSocket(socket as unknown as Socket)
  // As the server of Node does: handlers release what they have used when the response is closed.
  response.once('finish', () => socket.destroy())
  return { request, response }
}

/** An application of Express replaces the prototype of its requests, so that nothing is inherited from the original any more. */
function ownProperties(request: FrameworkRequest, original: FrameworkRequest): void {
  for (const name of Reflect.ownKeys(original)) {
    const { value, get } = Object.getOwnPropertyDescriptor(original, name) ?? {}
    if (get === undefined) own(request, name, value)
    else inherit(request, original, name)
  }
}

/** Replaces the state of the stream, and the listeners, which would be those of the original. */
function ownStream(
  request: FrameworkRequest,
  original: FrameworkRequest,
  socket: Writable,
  content: Buffer | undefined,
): void {
  const empty = new Readable({ autoDestroy: false, read() {} })
  own(request, '_readableState', Reflect.get(empty, '_readableState'))
  own(request, '_events', Object.create(null))
  own(request, '_eventsCount', 0)
  // Not by `empty`, which would emit the event `end` itself.
  if (content !== undefined && content.byteLength > 0) request.push(content)
  request.push(null)
  own(request, 'socket', socket)
  const client: unknown = Reflect.get(original, 'client')
  own(request, 'client', client === original.socket ? socket : client)
  own(request, 'complete', true)
  own(request, 'aborted', false)
  own(request, 'destroy', () => {
    socket.destroy()
    return request
  })
}

function inherit(request: FrameworkRequest, original: FrameworkRequest, name: PropertyKey): void {
  Object.defineProperty(request, name, {
    get: () => Reflect.get(original, name),
    set: (value: unknown) => own(request, name, value),
    enumerable: true,
    configurable: true,
  })
}

function own(object: object, name: PropertyKey, value: unknown): void {
  Object.defineProperty(object, name, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  })
}

/** What applications read of a connection. The scheme is part of the key. */
const connectionProperties = ['encrypted', ...clientProperties]

/** Accepts everything at once, so that a detached response never waits for a client. */
class DetachedSocket extends Writable {
  constructor(client: object | null) {
    // Node emits `drain` on responses of its own servers only: `write` must never return false.
    super({ highWaterMark: Number.MAX_SAFE_INTEGER })
    if (client === null) return
    for (const name of connectionProperties) {
      if (name in client)
        Object.defineProperty(this, name, { configurable: true, get: of(client, name) })
    }
  }

  override _write(_chunk: unknown, _encoding: string, callback: () => void): void {
    callback()
  }

  setTimeout(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }
}

/** Reads a property of the connection of the client. */
function of(client: object, name: string): () => unknown {
  return () => {
    const value: unknown = Reflect.get(client, name)
    return typeof value === 'function' ? value.bind(client) : value
  }
}
