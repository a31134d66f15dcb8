import { EventEmitter } from 'node:events'
import { IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import { sessionChannels } from './channels.ts'
import type { CookieOptions } from './http/cookie.ts'
import type { SessionMiddlewareOptions } from './http/middleware-options.ts'
import { PendingResponse } from './http/pending-response.ts'
import type { RequestSession } from './http/request-session.ts'
import type { SessionRequest } from './http/session-exchange.ts'
import { RequestTurns, type SessionLockOptions } from './http/session-lock.ts'
import { session as createMiddleware } from './http/session-middleware.ts'

/** What the middleware uses of the context of Hono 4. */
export interface HonoContext {
  readonly req: { readonly raw: Request }
  /** On a server of Node, its `outgoing` is the response. */
  readonly env: unknown
  get res(): Response
  set res(response: Response | undefined)
  header(name: string, value?: string, options?: { append?: boolean }): void
}

/** The options of `session` for Express, except functions of a request of Node. */
export interface HonoSessionOptions extends Omit<SessionMiddlewareOptions, 'cookie' | 'genid'> {
  readonly cookie?: CookieOptions | undefined
}

/**
 * What the middleware of Node reads of each request. It emits `close` when the session is stored. By context, whose request
 * other middleware may replace, and by request, which an application that is mounted has in another context.
 */
const messages = new WeakMap<HonoContext | Request, SessionRequest>()

/**
 * Creates a middleware for Hono with the guarantees of `session` for Express. The session is stored when the handler has
 * returned its response, and before that is sent: if that fails, `app.onError` responds. What is changed while the body of a
 * response is streamed is not stored, and an event of `sessionChannels.late`.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @example
 * import { session } from '@stowage/sessions/hono'
 * import { Hono } from 'hono'
 *
 * const app = new Hono()
 * app.use(session({ secret: sessionSecret(process.env), store: new Sessions({ cache }) }))
 */
export function session(
  options: HonoSessionOptions,
): (context: HonoContext, next: () => Promise<void>) => Promise<void> {
  const middleware = createMiddleware(options)
  return async (context, next) => {
    const { raw } = context.req
    const outer = findMessage(context)
    const message = outer ?? messageOf(raw)
    messages.set(raw, message).set(context, message)
    const pending = await PendingResponse.open(middleware, message)
    try {
      await next()
      await send(context, pending)
    } finally {
      if (outer === undefined) message.emit('close')
    }
  }
}

/**
 * Creates a middleware for Hono that lets the requests of one session run one after another, as `sessionLock` for Express
 * does. Use it behind `session` of this entry point, on the routes that need it. The next request is handled when the session
 * is stored, also if the body of the response is still streamed. If the client of a request that waits closes the connection,
 * the handler is not called.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` or TypeError for invalid options
 * @example
 * import { session, sessionLock } from '@stowage/sessions/hono'
 * import { Hono } from 'hono'
 *
 * const app = new Hono()
 * app.use(session({ secret: sessionSecret(process.env), store: new Sessions({ cache }) }))
 * app.post('/checkout', sessionLock({ wait: '10s' }), (context) => context.text('done'))
 */
export function sessionLock(
  options: SessionLockOptions = {},
): (context: HonoContext, next: () => Promise<void>) => Promise<Response | undefined> {
  const turns = new RequestTurns(options)
  return async (context, next) => {
    const message = messageFor(context, 'sessionLock')
    const isItsTurn = await turns.wait(message, () => endOf(message, context.req.raw.signal))
    if (!isItsTurn) return new Response(null, { status: clientClosed })
    await next()
    return undefined
  }
}

/** No client receives it. As in the logs of nginx. */
const clientClosed = 499

/**
 * Returns the session of a request: another object after `regenerate`, and `undefined` after `destroy`.
 *
 * @throws TypeError without the middleware
 */
export function sessionOf(context: HonoContext): RequestSession {
  return messageFor(context, 'sessionOf').session as RequestSession
}

/** Aborted when the session is stored, or the client has closed the connection. */
function endOf(message: SessionRequest, closed: AbortSignal): AbortSignal {
  const end = new AbortController()
  const abort = () => end.abort()
  message.once('close', abort)
  closed.addEventListener('abort', abort)
  if (closed.aborted) abort()
  return end.signal
}

function findMessage(context: HonoContext): SessionRequest | undefined {
  return messages.get(context) ?? messages.get(context.req.raw)
}

function messageFor(context: HonoContext, caller: string): SessionRequest {
  const message = findMessage(context)
  if (message !== undefined) return message
  throw new TypeError(`${caller}: the request has no session. Add app.use(session({ … })) before.`)
}

/** What the middleware reads of a request, as a request of Node. */
function messageOf({ method, url, headers }: Request): SessionRequest {
  const { pathname, search, protocol } = new URL(url)
  const message = new IncomingMessage({ encrypted: protocol === 'https:' } as unknown as Socket)
  return Object.assign(message, {
    method,
    url: pathname + search,
    headers: Object.fromEntries(headers),
  })
}

/** Stores the session, and adds what it needs to the response. */
async function send(context: HonoContext, pending: PendingResponse): Promise<void> {
  try {
    const headers = await pending.commit(context.res.status, headersOf(context.res))
    for (const [name, value] of headers) replaceHeader(context, name, [value].flat())
  } catch (error) {
    // Hono would add its headers to the response that reports the error.
    context.res = undefined
    throw error
  }
  if (sessionChannels.late.hasSubscribers) onSent(context, () => pending.end())
}

function headersOf({ headers }: Response): OutgoingHttpHeaders {
  const cookies = headers.getSetCookie()
  return { ...Object.fromEntries(headers), ...(cookies.length > 0 && { 'set-cookie': cookies }) }
}

function replaceHeader(context: HonoContext, name: string, values: readonly unknown[]): void {
  context.header(name)
  for (const value of values) context.header(name, String(value), { append: true })
}

/** Calls `listener` when the response was sent: that of Node, or else the body. */
function onSent(context: HonoContext, listener: () => void): void {
  const { outgoing } = (context.env ?? {}) as { outgoing?: unknown }
  if (outgoing instanceof EventEmitter) outgoing.once('close', listener)
  else if (context.res.body === null) setImmediate(listener)
  else context.res = new Response(onRead(context.res.body, listener), context.res)
}

/** Calls `listener` when a stream was read to its end, or will be read no more. */
function onRead(stream: ReadableStream, listener: () => void): ReadableStream {
  const reader = stream.getReader()
  const source = {
    async pull(controller: ReadableStreamDefaultController) {
      const { done, value } = await reader.read()
      if (!done) return controller.enqueue(value)
      controller.close()
      listener()
    },
    async cancel(reason: unknown) {
      listener()
      await reader.cancel(reason)
    },
  }
  // Nothing is read before it is needed.
  return new ReadableStream(source, { highWaterMark: 0 })
}
