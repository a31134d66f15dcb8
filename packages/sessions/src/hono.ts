import { IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import type { Socket } from 'node:net'
import type { CookieOptions } from './http/cookies/cookie.ts'
import type { SessionMiddlewareOptions } from './http/middleware-options.ts'
import { PendingResponse } from './http/pending-response.ts'
import type { RequestSession } from './http/request-session.ts'
import { session as createMiddleware } from './http/session-middleware.ts'
import type { SessionRequest } from './http/session-of-request.ts'

/** What the middleware uses of the context of Hono 4. */
export interface HonoContext {
  readonly req: { readonly raw: Request }
  get res(): Response
  set res(response: Response | undefined)
  header(name: string, value?: string, options?: { append?: boolean }): void
}

/** The options of `session` for Express, except functions of a request of Node. */
export interface HonoSessionOptions extends Omit<SessionMiddlewareOptions, 'cookie' | 'genid'> {
  readonly cookie?: CookieOptions | undefined
}

const requests = new WeakMap<Request, SessionRequest>()

/**
 * Creates a middleware for Hono with the guarantees of `session` for Express. The session is stored when the handler has
 * returned its response, and before that is sent: if that fails, `app.onError` responds. What is changed while the body of a
 * response is streamed is not stored.
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
    const request = requests.get(context.req.raw) ?? messageOf(context.req.raw)
    requests.set(context.req.raw, request)
    const pending = await PendingResponse.open(middleware, request)
    await next()
    try {
      const headers = await pending.commit(context.res.status, headersOf(context.res))
      for (const [name, value] of headers) replaceHeader(context, name, [value].flat())
    } catch (error) {
      // Hono would add its headers to the response that reports the error.
      context.res = undefined
      throw error
    }
  }
}

/**
 * Returns the session of a request: another object after `regenerate`, and `undefined` after `destroy`.
 *
 * @throws TypeError without the middleware
 */
export function sessionOf(context: HonoContext): RequestSession {
  const request = requests.get(context.req.raw)
  if (request !== undefined) return request.session as RequestSession
  throw new TypeError('sessionOf: the request has no session. Add app.use(session({ … })) before.')
}

/** What the middleware reads of a request, as a request of Node. */
function messageOf({ method, url, headers }: Request): SessionRequest {
  const { pathname, search, protocol } = new URL(url)
  const message = new IncomingMessage({ encrypted: protocol === 'https:' } as unknown as Socket)
  return Object.assign(message, {
    ...{ method, url: pathname + search, headers: Object.fromEntries(headers) },
  })
}

function headersOf({ headers }: Response): OutgoingHttpHeaders {
  const cookies = headers.getSetCookie()
  return { ...Object.fromEntries(headers), ...(cookies.length > 0 && { 'set-cookie': cookies }) }
}

function replaceHeader(context: HonoContext, name: string, values: readonly unknown[]): void {
  context.header(name)
  for (const value of values) context.header(name, String(value), { append: true })
}
