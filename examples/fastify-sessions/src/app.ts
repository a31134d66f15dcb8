import { createHash } from 'node:crypto'
import cookie from '@fastify/cookie'
import session, { type FastifySessionOptions } from '@fastify/session'
import { CacheError, type Caches, type Role } from '@stowage/core'
import { SessionStore } from '@stowage/express'
import fastify, { type FastifyInstance } from 'fastify'

declare module 'fastify' {
  interface Session {
    user?: string
    visits?: number
  }
}

type Store = NonNullable<FastifySessionOptions['store']>

export interface AppOptions {
  readonly caches: Caches<Role>
  readonly secret: string
}

export async function createApp({ caches, secret }: AppOptions): Promise<FastifyInstance> {
  const app = fastify()
  await app.register(cookie)
  await app.register(session, {
    // The plugin requires at least 32 characters.
    secret: createHash('sha256').update(secret).digest('hex'),
    // A cookie of express-session may have no maxAge; in the types of this plugin it has one.
    store: new SessionStore({ cache: caches.use('session') }) as unknown as Store,
    saveUninitialized: false,
    cookie: { secure: 'auto', httpOnly: true, sameSite: 'lax', maxAge: 86_400_000 },
  })
  app.setErrorHandler((error, _request, reply) => {
    if (!CacheError.is(error) || !error.retryable) return reply.send(error)
    return reply.status(503).header('Retry-After', '5').send({ error: error.code })
  })
  routes(app, caches)
  return app
}

function routes(app: FastifyInstance, caches: Caches<Role>): void {
  app.get('/', async (request) => {
    const visits = (request.session.visits ?? 0) + 1
    request.session.visits = visits
    const greeting = await caches.use().remember('greeting', { ttl: '1m' }, () => 'Hello')
    return { greeting, user: request.session.user ?? null, visits }
  })
  app.post<{ Querystring: { user?: string } }>('/sign-in', async (request) => {
    await request.session.regenerate() // a new id at each login
    request.session.user = request.query.user ?? 'guest'
    return { user: request.session.user }
  })
  app.post('/sign-out', async (request, reply) => {
    await request.session.destroy()
    return reply.status(204).send()
  })
}
