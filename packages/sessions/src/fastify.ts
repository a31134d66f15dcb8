import type { IncomingMessage, ServerResponse } from 'node:http'
import type { SessionMiddlewareOptions } from './http/middleware-options.ts'
import { PendingResponse } from './http/pending-response.ts'
import type { SessionRequest } from './http/session-exchange.ts'
import { endOf, RequestTurns, type SessionLockOptions } from './http/session-lock.ts'
import { session as createMiddleware } from './http/session-middleware.ts'

interface FastifyRequest {
  readonly raw: IncomingMessage
}

interface FastifyReply {
  readonly statusCode: number
  getHeaders(): Record<string, number | string | string[] | undefined>
  header(name: string, value: unknown): unknown
  removeHeader(name: string): unknown
}

/** What the plugin uses of an instance of Fastify 4 and 5. */
export interface FastifyInstance {
  decorateRequest(
    name: string,
    property: { getter(): unknown; setter(value: never): void },
  ): unknown
  addHook(
    name: 'onRequest' | 'onResponse' | 'onSend',
    hook: (request: FastifyRequest, reply: FastifyReply) => Promise<void>,
  ): unknown
}

/**
 * A plugin for Fastify that provides `request.session`, with the options and the guarantees of `session` for Express. The
 * session is stored before the response is sent: if that fails, the error handler of the application responds. A handler that
 * calls `reply.hijack()` sends its response without that.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options
 * @example
 * import { session } from '@stowage/sessions/fastify'
 * import fastify from 'fastify'
 *
 * const app = fastify()
 * await app.register(session, { secret: sessionSecret(process.env), store: new Sessions({ cache }) })
 */
export async function session(
  app: FastifyInstance,
  options: SessionMiddlewareOptions,
): Promise<void> {
  const middleware = createMiddleware(withoutRegisterOptions(options))
  const opened = new WeakMap<IncomingMessage, PendingResponse>()
  app.decorateRequest('session', accessor)
  app.addHook('onRequest', async ({ raw }) => {
    opened.set(raw, await PendingResponse.open(middleware, raw))
  })
  app.addHook('onSend', async ({ raw }, reply) => {
    const headers = await opened.get(raw)?.commit(reply.statusCode, reply.getHeaders())
    for (const [name, value] of headers ?? []) {
      // Fastify would append a cookie.
      reply.removeHeader(name)
      reply.header(name, value)
    }
  })
  app.addHook('onResponse', async ({ raw }) => opened.get(raw)?.end())
}

/**
 * Creates a hook for Fastify that lets the requests of one session run one after another, as `sessionLock` for Express does.
 * The plugin `session` of this entry point must be registered. If the client of a request that waits closes the connection,
 * the handler is not called.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` or TypeError for invalid options
 * @example
 * import { session, sessionLock } from '@stowage/sessions/fastify'
 * import fastify from 'fastify'
 *
 * const app = fastify()
 * await app.register(session, { secret: sessionSecret(process.env), store: new Sessions({ cache }) })
 * app.post('/checkout', { preHandler: sessionLock({ wait: '10s' }) }, async () => 'done')
 */
export function sessionLock(
  options: SessionLockOptions = {},
): (
  request: FastifyRequest,
  reply: { readonly raw: ServerResponse; hijack(): unknown },
) => Promise<void> {
  const turns = new RequestTurns(options)
  return async ({ raw }, reply) => {
    if (!(await turns.wait(raw, () => endOf(reply.raw)))) reply.hijack()
  }
}

const accessor = {
  getter(this: FastifyRequest): unknown {
    return (this.raw as SessionRequest).session
  },
  setter(this: FastifyRequest, value: never): void {
    ;(this.raw as SessionRequest).session = value
  },
}

// The hooks apply to the application that registers the plugin, as with fastify-plugin.
Object.assign(session, {
  [Symbol.for('skip-override')]: true,
  [Symbol.for('fastify.display-name')]: '@stowage/sessions',
})

/** Fastify passes its own options of `register` to the plugin as well. */
function withoutRegisterOptions(options: SessionMiddlewareOptions): SessionMiddlewareOptions {
  const { prefix, logLevel, logSerializers, ...own } = options as SessionMiddlewareOptions &
    Record<'prefix' | 'logLevel' | 'logSerializers', unknown>
  return own
}
