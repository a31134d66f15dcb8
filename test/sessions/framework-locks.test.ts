import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { Cache } from '@stowage/core'
import { Deferred } from '@stowage/core/internal'
import { type SessionLockOptions, type SessionMiddlewareOptions, Sessions } from '@stowage/sessions'
import { sessionLock as fastifyLock, session as fastifySession } from '@stowage/sessions/fastify'
import { sessionLock as honoLock, session as honoSession, sessionOf } from '@stowage/sessions/hono'
import {
  type KoaSession,
  sessionLock as koaLock,
  session as koaSession,
} from '@stowage/sessions/koa'
import fastify from 'fastify'
import { Hono } from 'hono'
import Koa from 'koa'
import { describe, expect, onTestFinished, test } from 'vitest'
import { recorded } from '../bridges/backends.ts'

type Session = ReturnType<typeof sessionOf> & { paths?: string[] }
type Handle = (path: string, session: () => Session) => Promise<string>
type Options = Omit<SessionMiddlewareOptions, 'cookie' | 'genid'>

interface App {
  readonly handle: Handle
  /** `undefined` for an application without sessions. */
  readonly options: Options | undefined
  readonly lock: SessionLockOptions
}

const frameworks: Readonly<Record<string, (app: App) => Promise<RequestListener>>> = {
  async Koa({ handle, options, lock }) {
    const app = new Koa<Koa.DefaultState, KoaSession>()
    app.silent = true
    app.use(async (context, next) => {
      try {
        await next()
      } catch (error) {
        context.status = 500
        context.body = String(error)
      }
    })
    if (options) app.use(koaSession(options))
    app.use(koaLock(lock)).use(async (context) => {
      context.body = await handle(context.path, () => context.session)
    })
    return app.callback()
  },
  async Hono({ handle, options, lock }) {
    const app = new Hono()
    app.onError((error, context) => context.text(String(error), 500))
    if (options) app.use(honoSession(options))
    app.get('*', honoLock(lock), async (context) =>
      context.text(await handle(context.req.path, () => sessionOf(context))),
    )
    return getRequestListener(app.fetch)
  },
  async Fastify({ handle, options, lock }) {
    const app = fastify()
    app.setErrorHandler((error, _, reply) => reply.code(500).send(String(error)))
    if (options) await app.register(fastifySession, options)
    app.get('*', { preHandler: fastifyLock(lock) }, (request) =>
      handle(request.url, () => (request as unknown as { session: Session }).session),
    )
    await app.ready()
    return app.routing as RequestListener
  },
}

describe.each(Object.keys(frameworks))('sessionLock in %s', (name) => {
  /** Starts an application with a session. Its requests to `/hold…` wait in their handler until it is released. */
  async function open(lock: SessionLockOptions = { wait: '20s' }) {
    const { store, calls } = recorded()
    const held = new Map<string, Deferred<void>>()
    const closed = new Set<string>()
    const handle: Handle = async (path, session) => {
      const paths = [...(session().paths ?? []), path]
      if (path.startsWith('/hold')) {
        const release = new Deferred<void>()
        held.set(path, release)
        await release.promise
      }
      session().paths = paths
      if (path === '/fail') throw new Error('The application fails.')
      return paths.join()
    }
    const options = { secret: 'test only', store: new Sessions({ cache: new Cache(store) }) }
    const listener = await frameworks[name]?.({ handle, options, lock })
    const server = createServer(listener)
    server.on('request', ({ url = '' }, response) => {
      response.once('close', () => closed.add(url))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const begun = await fetch(`${url}/begin`)
    const cookie = String(begun.headers.getSetCookie()[0]).split(';')[0] as string
    const attempts = () =>
      calls.filter(([call, [key]]) => call === 'add' && String(key).includes('~lock')).length
    return {
      get: (path: string, signal?: AbortSignal) =>
        fetch(url + path, { headers: { cookie }, signal: signal ?? null }),
      isHeld: (path: string) => expect.poll(() => held.has(path)).toBe(true),
      /** Starts a request, and resolves when it has failed to get the lock. */
      async waitFor<T>(start: () => T): Promise<T> {
        const before = attempts()
        const started = start()
        await expect.poll(attempts).toBeGreaterThan(before)
        return started
      },
      isClosed: (path: string) => expect.poll(() => closed.has(path)).toBe(true),
      release: (path: string) => held.get(path)?.resolve(),
      held,
    }
  }

  test('requests of one session run one after another, and see what the one before has stored', async () => {
    const { get, isHeld, waitFor, release } = await open()
    const first = get('/hold')
    await isHeld('/hold')
    const [second] = await waitFor(() => [get('/second')])
    release('/hold')
    expect(await (await first).text()).toBe('/begin,/hold')
    expect(await (await second).text()).toBe('/begin,/hold,/second')
  })

  test('a request fails if the others take too long', async () => {
    const { get, isHeld, release } = await open({ wait: 30 })
    const first = get('/hold')
    await isHeld('/hold')
    const second = await get('/second')
    expect([second.status, await second.text()]).toEqual([
      500,
      expect.stringContaining('held by another owner'),
    ])
    release('/hold')
    expect((await first).status).toBe(200)
  })

  test('a request releases the lock if the application fails', async () => {
    const { get } = await open()
    expect((await get('/fail')).status).toBe(500)
    expect(await (await get('/second')).text()).toBe('/begin,/fail,/second')
  })

  test('a request releases the lock when its connection is closed', async () => {
    const { get, isHeld } = await open()
    const abort = new AbortController()
    const first = get('/hold', abort.signal)
    await isHeld('/hold')
    abort.abort()
    await expect(first).rejects.toThrow('aborted')
    expect(await (await get('/second')).text()).toBe('/begin,/second')
  })

  test('a request whose connection is closed while it waits is not handled', async () => {
    const { get, isHeld, isClosed, waitFor, release, held } = await open()
    const first = get('/hold')
    await isHeld('/hold')
    const abort = new AbortController()
    const [second] = await waitFor(() => [get('/hold/second', abort.signal)])
    abort.abort()
    await expect(second).rejects.toThrow('aborted')
    await isClosed('/hold/second')
    const [third] = await waitFor(() => [get('/third')])
    release('/hold')
    await first
    expect(await (await third).text()).toBe('/begin,/hold,/third')
    expect([...held.keys()]).toEqual(['/hold'])
  })

  test('a request without the middleware of sessions is an error', async () => {
    const handle = async () => 'handled'
    const listener = await frameworks[name]?.({ handle, options: undefined, lock: {} })
    const server = createServer(listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
    expect([response.status, await response.text()]).toEqual([
      500,
      expect.stringContaining('sessionLock: the request has no session'),
    ])
  })
})

test('Hono does not hold the lock while it streams a body', async () => {
  const app = new Hono()
  app.use(
    honoSession({
      secret: 'test only',
      store: new Sessions({ cache: new Cache(recorded().store) }),
    }),
  )
  app.get('/begin', (context) => context.text(`${Object.assign(sessionOf(context), { a: 1 })}`))
  app.get('/endless', honoLock({ wait: 1 }), (context) => context.body(new ReadableStream()))
  const { headers } = await app.request('/begin')
  const cookie = headers.get('set-cookie') ?? ''
  const get = () => app.request('/endless', { headers: { cookie } })
  expect([(await get()).status, (await get()).status]).toEqual([200, 200])
})
