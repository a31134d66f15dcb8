import { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Writable } from 'node:stream'
import type { FrameworkRequest } from '../request/request-key.ts'

/** A request and a response without a client. */
export interface DetachedPair {
  readonly request: FrameworkRequest
  readonly response: ServerResponse
}

/** What Express adds to a response. */
type FrameworkResponse = ServerResponse & { app?: unknown; locals?: object; req?: unknown }

/**
 * Returns a request with the URL, the headers and the parameters of another one, and a response whose output is discarded.
 * The response has the status and the headers that middleware in front has set: they may forbid that it is stored.
 * What a handler changes does not affect the originals, and they do not end with the connection of the client.
 */
export function detach(original: FrameworkRequest, live: ServerResponse): DetachedPair {
  const request: FrameworkRequest = Object.create(original)
  own(request, 'headers', { ...original.headers })
  // Listeners and their number, which would be those of the original.
  own(request, '_events', Object.create(null))
  own(request, '_eventsCount', 0)
  for (const name of ['session', 'user', 'cookies', 'signedCookies', 'cache']) {
    if (name in original) own(request, name, Reflect.get(original, name))
  }
  const response: FrameworkResponse = new ServerResponse(request)
  Object.setPrototypeOf(response, Object.getPrototypeOf(live))
  const { app, locals } = live as FrameworkResponse
  if (app !== undefined) response.app = app
  if (locals !== undefined) response.locals = Object.assign(Object.create(null), locals)
  response.statusCode = live.statusCode
  for (const name of live.getHeaderNames()) {
    response.setHeader(name, live.getHeader(name) as number | string | string[])
  }
  response.req = request
  own(request, 'res', response)
  const socket = new DiscardingSocket()
  // A handler may destroy the connection, in order to end a response that it cannot complete.
  socket.once('close', () => response.destroy())
  response.assignSocket(socket as unknown as Socket)
  return { request, response }
}

function own(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  })
}

/** Accepts everything at once, so that a detached response never waits for a client. */
class DiscardingSocket extends Writable {
  constructor() {
    // Node emits `drain` on responses of its own servers only: `write` must never return false.
    super({ highWaterMark: Number.MAX_SAFE_INTEGER })
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
