import type { IncomingMessage, ServerResponse } from 'node:http'
import type { SessionMiddlewareOptions } from './http/middleware-options.ts'
import { PendingResponse } from './http/pending-response.ts'
import type { RequestSession } from './http/request-session.ts'
import type { SessionRequest } from './http/session-exchange.ts'
import { endOf, RequestTurns, type SessionLockOptions } from './http/session-lock.ts'
import { session as createMiddleware } from './http/session-middleware.ts'

/** What the middleware uses of the context of Koa 2 and 3. */
export interface KoaContext {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  status: number
  set(name: string, value: string | string[]): void
}

/** What the middleware adds to the context. */
export interface KoaSession {
  /** As `request.session` of Express. Assign `null` to end it, with the option `unset: 'destroy'`. */
  session: RequestSession
}

/**
 * Creates a middleware for Koa that provides `context.session`, with the options and the guarantees of `session` for Express.
 * The session is stored when the middleware behind this one has finished, and before the response is sent: if that fails,
 * the middleware rejects. What the application writes to `context.res` itself is sent before the session is stored.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @example
 * import { type KoaSession, session } from '@stowage/sessions/koa'
 * import Koa from 'koa'
 *
 * const app = new Koa<Koa.DefaultState, KoaSession>()
 * app.use(session({ secret: sessionSecret(process.env), store: new Sessions({ cache }) }))
 */
export function session(
  options: SessionMiddlewareOptions,
): (context: KoaContext, next: () => Promise<unknown>) => Promise<void> {
  const middleware = createMiddleware(options)
  return async (context, next) => {
    const request: SessionRequest = context.req
    const pending = await PendingResponse.open(middleware, request)
    Object.defineProperty(context, 'session', accessorOf(request))
    context.res.once('close', () => pending.end())
    const commit = async (status: number) => {
      const headers = await pending.commit(status, context.res.getHeaders())
      if (context.res.headersSent) return
      for (const [name, value] of headers) context.set(name, value as string | string[])
    }
    try {
      await next()
    } catch (error) {
      // Middleware before this one responds, with these headers, or Koa, which removes them.
      await commit(500)
      throw error
    }
    await commit(context.status)
  }
}

/**
 * Creates a middleware for Koa that lets the requests of one session run one after another, as `sessionLock` for Express does.
 * Use it behind `session` of this entry point, on the routes that need it. If the client of a request that waits closes the
 * connection, the middleware behind this one is not called.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` or TypeError for invalid options
 * @example
 * import { type KoaSession, session, sessionLock } from '@stowage/sessions/koa'
 * import Koa from 'koa'
 *
 * const app = new Koa<Koa.DefaultState, KoaSession>()
 * app.use(session({ secret: sessionSecret(process.env), store: new Sessions({ cache }) }))
 * app.use(sessionLock({ wait: '10s' })).use((context) => {
 *   context.body = 'No other request of this session is handled meanwhile.'
 * })
 */
export function sessionLock(
  options: SessionLockOptions = {},
): (context: KoaContext, next: () => Promise<unknown>) => Promise<void> {
  const turns = new RequestTurns(options)
  return async ({ req, res }, next) => {
    if (await turns.wait(req, () => endOf(res))) await next()
  }
}

function accessorOf(request: SessionRequest): PropertyDescriptor {
  return {
    configurable: true,
    get: () => request.session,
    set: (session) => {
      request.session = session
    },
  }
}
