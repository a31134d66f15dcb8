import type { IncomingMessage, ServerResponse } from 'node:http'
import type { CookieOptions } from './cookie.ts'
import { exchangeKey } from './messages/patched-messages.ts'
import { type SessionMiddlewareOptions, settingsOf } from './middleware-options.ts'
import { isBelow } from './response-cookie.ts'
import { type Next, SessionExchange, type SessionRequest } from './session-exchange.ts'

/** A middleware of Express 4 and 5, Connect, and servers of `node:http`. */
export type SessionMiddleware = (
  request: IncomingMessage,
  response: ServerResponse,
  next: Next,
) => void

/**
 * Returns whether the session of a request was read or changed by the application, so that the response may depend on it
 * and must not be cached for others.
 */
export function wasSessionUsed(request: IncomingMessage): boolean {
  return (request as SessionRequest)[exchangeKey]?.isUsed === true
}

/**
 * Creates a middleware that provides `request.session`, in place of that of express-session: it has the same options and
 * methods, and accepts the same cookies. In addition:
 * - The session is stored before the response is sent. If that fails, the error handlers of the application respond.
 * - The response to a request that ends its session clears the cookie.
 * - Requests that change nothing are not saved, and a session that has ended meanwhile is not restored.
 *
 * What is changed after the first `write` or `flushHeaders` of the response is not stored.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @example
 * const store = new Sessions({ cache })
 * app.use(session({ secret: sessionSecret(process.env), store, cookie: { maxAge: 3_600_000, sameSite: 'lax' } }))
 */
export function session(options: SessionMiddlewareOptions): SessionMiddleware {
  const settings = settingsOf(options)
  return (request, response, next) => {
    const sessionRequest: SessionRequest = request
    if (sessionRequest.session) return next()
    let cookieOptions: CookieOptions
    try {
      cookieOptions = attributesOf(options.cookie, request)
    } catch (error) {
      return next(error)
    }
    if (!isBelow(cookieOptions.path, sessionRequest)) return next()
    new SessionExchange(sessionRequest, response, next, settings, cookieOptions).begin()
  }
}

/** @throws TypeError if a function returns something else: a promise has no attributes, so that the cookie would have none */
export function attributesOf(
  cookie: SessionMiddlewareOptions['cookie'],
  request: IncomingMessage,
): CookieOptions {
  if (typeof cookie !== 'function') return cookie ?? {}
  const attributes: unknown = cookie(request)
  const isObject = typeof attributes === 'object' && attributes !== null
  if (isObject && !('then' in attributes)) return attributes
  throw new TypeError(
    'session: cookie must be an object of attributes, such as { secure: true }, or a function that returns one, not a promise.',
  )
}
