import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Sessions, session } from '@stowage/sessions'
import fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { afterEach, expect, test } from 'vitest'

// The adapters of docs/sessions.md.
const secret = 'a secret of at least 32 characters, for tests'
const createMiddleware = () =>
  session({ secret, store: new Sessions({ cache: new Cache(memory(), { prefix: 'session:' }) }) })
type Middleware = ReturnType<typeof createMiddleware>
type Incoming = Parameters<Middleware>[0]
type Outgoing = Parameters<Middleware>[1]

const openWith = (middleware: Middleware) => (request: Incoming, response: Outgoing) =>
  new Promise<void>((resolve, reject) =>
    middleware(request, response, (error) => (error ? reject(error) : resolve())),
  )

/** Counts the visits of a session. */
function visit(request: object): string {
  const { session } = request as { session: { visits?: number } }
  session.visits = (session.visits ?? 0) + 1
  return `visit ${session.visits}`
}

const applications: Readonly<Record<string, () => Promise<Server>>> = {
  async Koa() {
    const open = openWith(createMiddleware())
    const koa = new Koa()
    koa.use((context, next) => open(context.req, context.res).then(next))
    koa.use((context) => {
      context.body = visit(context.req)
    })
    return createServer(koa.callback())
  },
  async Hono() {
    const open = openWith(createMiddleware())
    const hono = new Hono<{ Bindings: HttpBindings }>()
    hono.use((context, next) =>
      open(context.env.incoming, context.env.outgoing as Outgoing).then(next),
    )
    hono.get('/', (context) => context.text(visit(context.env.incoming)))
    return createServer(getRequestListener((request, env) => hono.fetch(request, env)))
  },
  async Fastify() {
    const open = openWith(createMiddleware())
    const app = fastify()
    app.addHook('onRequest', (request, reply) => open(request.raw, reply.raw))
    app.get('/', async (request) => visit(request.raw))
    await app.ready()
    return app.server
  },
}

let server: Server | undefined
afterEach(() => void server?.close())

test.each(Object.keys(applications))(
  'sessions in %s keep a value, one for each cookie',
  async (name) => {
    server = await applications[name]?.()
    server?.listen(0, '127.0.0.1')
    await once(server as Server, 'listening')
    const url = `http://127.0.0.1:${((server as Server).address() as AddressInfo).port}/`
    const first = await fetch(url)
    expect(await first.text()).toBe('visit 1')
    const [cookie = ''] = (first.headers.get('set-cookie') ?? '').split(';')
    expect(cookie).toMatch(/^connect\.sid=/)
    expect(await (await fetch(url, { headers: { cookie } })).text()).toBe('visit 2')
    expect(await (await fetch(url)).text()).toBe('visit 1')
  },
)
