import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { Cache, type CacheStore, type Clock, systemClock } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Sessions, sessionChannels } from '@stowage/sessions'
import { session as fastifySession } from '@stowage/sessions/fastify'
import { session as honoSession, sessionOf } from '@stowage/sessions/hono'
import { type KoaSession, session as koaSession } from '@stowage/sessions/koa'
import { ManualClock } from '@stowage/testing'
import fastify from 'fastify'
import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import Koa from 'koa'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { unreachable } from '../bridges/backends.ts'

const secret = 'a secret of at least 32 characters, for tests'
type Options = Parameters<typeof honoSession>[0]
type Session = ReturnType<typeof sessionOf> & { user?: string; visits?: number }

/** What the application of each framework does with the session of a request. Returns the body of its response. */
function respond(path: string, session: () => Session, response?: ServerResponse): string {
  if (path === '/logout') session().destroy()
  if (path === '/login') {
    session().regenerate()
    Object.assign(session(), { user: 'ada' })
  }
  if (path === '/fail') {
    Object.assign(session(), { user: 'ada' })
    throw new Error('The application fails.')
  }
  const addLate = () => Object.assign(session(), { user: 'ada' })
  if (path === '/late') response?.prependOnceListener('finish', addLate)
  if (path !== '/') return ''
  const current = session()
  current.visits = (current.visits ?? 0) + 1
  return `visit ${current.visits} of ${current.user ?? 'a guest'}`
}

const headers = { 'set-cookie': 'theme=dark', 'cache-control': 'public, max-age=60' }

const frameworks: Readonly<Record<string, (options: Options) => Promise<Server>>> = {
  async Koa(options) {
    const app = new Koa<Koa.DefaultState, KoaSession>({ env: 'test' })
    app.silent = true
    app.use(async (context, next) => {
      try {
        await next()
      } catch (error) {
        context.status = 500
        context.body = (error as Error).message
      }
    })
    app.use(koaSession(options))
    app.use((context) => {
      context.set(headers)
      context.body = respond(context.path, () => context.session, context.res)
    })
    return createServer(app.callback())
  },
  async Hono(options) {
    const app = new Hono()
    app.onError((error, context) => context.text(error.message, 500))
    app.use(honoSession(options))
    app.get('*', (context) => {
      for (const [name, value] of Object.entries(headers)) context.header(name, value)
      const { outgoing } = context.env as { outgoing: ServerResponse }
      return context.text(respond(context.req.path, () => sessionOf(context), outgoing))
    })
    return createServer(getRequestListener(app.fetch))
  },
  async Fastify(options) {
    const app = fastify()
    app.setErrorHandler((error, _, reply) => reply.code(500).send((error as Error).message))
    // Fastify passes its own options to a plugin as well.
    await app.register(fastifySession, { ...options, logLevel: 'silent' })
    app.get('*', async (request, reply) => {
      reply.headers(headers)
      const { raw: response } = reply
      return respond(
        request.url,
        () => (request as unknown as { session: Session }).session,
        response,
      )
    })
    await app.ready()
    return app.server
  },
}

/** Resolves to the event of the next change that is not stored. */
function lateChange(): Promise<unknown> {
  return new Promise((resolve) => {
    const listener = (event: unknown) => resolve(event)
    sessionChannels.late.subscribe(listener)
    onTestFinished(() => void sessionChannels.late.unsubscribe(listener))
  })
}

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

describe.each(Object.keys(frameworks))('sessions in %s', (name) => {
  /** Starts an application, and returns a browser that keeps its cookie. */
  async function open(store: CacheStore = memory(), cookie = '', clock: Clock = systemClock) {
    const cache = new Cache(store, { prefix: 'session:', clock })
    const sessions = new Sessions({ cache, rotation: true })
    const options = { secret, store: sessions, rotateAfter: '1m' } as const
    const server = (await frameworks[name]?.(options)) as Server
    servers.push(server.listen(0, '127.0.0.1'))
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    return async (path = '/') => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { cookie } })
      const set = response.headers.getSetCookie().find((each) => each.startsWith('connect.sid='))
      cookie = set?.split(';')[0] ?? cookie
      return { response, text: await response.text(), set, cookie }
    }
  }

  test('keep a value, one for each cookie', async () => {
    const [first, second] = [await open(), await open()]
    expect((await first()).text).toBe('visit 1 of a guest')
    expect((await first()).text).toBe('visit 2 of a guest')
    expect((await second()).text).toBe('visit 1 of a guest')
  })

  test('get another id with a login, and end with a logout, which clears the cookie', async () => {
    const request = await open()
    const before = await request()
    const { cookie } = await request('/login')
    expect(cookie).not.toBe(before.cookie)
    expect((await request()).text).toBe('visit 1 of ada')
    expect((await request('/logout')).set).toContain('Expires=Thu, 01 Jan 1970')
    expect((await request()).text).toBe('visit 1 of a guest')
  })

  test('add their cookie to those of the application, and keep the response out of shared caches', async () => {
    const request = await open()
    const { response } = await request()
    const names = response.headers.getSetCookie().map((cookie) => cookie.split('=')[0])
    expect(names).toEqual(['theme', 'connect.sid'])
    expect(response.headers.get('cache-control')).toBe('private, max-age=60')
    const unchanged = (await request('/other')).response
    expect(unchanged.headers.getSetCookie()).toEqual(['theme=dark'])
    expect(unchanged.headers.get('cache-control')).toBe('public, max-age=60')
  })

  test('fail the request if they cannot be stored, and set no cookie', async () => {
    const request = await open(unreachable())
    const { response, text, set } = await request()
    expect(response.status).toBe(500)
    expect(text).toContain('redis add failed')
    expect(set).toBeUndefined()
  })

  test('fail the request if they cannot be read', async () => {
    const { cookie } = await (await open())()
    const { response, set } = await (await open(unreachable(), cookie))()
    expect(response.status).toBe(500)
    expect(set).toBeUndefined()
  })

  test('publish a change that comes too late', async () => {
    const request = await open()
    await request()
    const published = lateChange()
    await request('/late')
    expect(await published).toMatchObject({ key: expect.any(String) })
    expect((await request()).text).toBe('visit 2 of a guest')
  })

  test('are stored if the application fails', async () => {
    const request = await open()
    await request()
    expect((await request('/fail')).text).toBe('The application fails.')
    expect((await request()).text).toBe('visit 2 of ada')
  })

  test('begin with a response to an error', async () => {
    const request = await open()
    expect((await request('/fail')).set).toBeDefined()
    expect((await request()).text).toBe('visit 1 of ada')
  })

  test('are not lost if the response that brings another id reports an error', async () => {
    const clock = new ManualClock()
    const request = await open(memory({ clock }), '', clock)
    await request()
    await clock.advance(60_000)
    await request('/fail')
    // Longer than the old id leads to the session.
    await clock.advance(31_000)
    expect((await request()).text).toBe('visit 2 of ada')
  })
})

test('Koa itself removes the cookie from the response to an error: the session keeps its id', async () => {
  const clock = new ManualClock()
  const cache = new Cache(memory({ clock }), { clock })
  const options = {
    secret,
    store: new Sessions({ cache, rotation: true }),
    rotateAfter: '1m',
  } as const
  const app = new Koa<Koa.DefaultState, KoaSession>({ env: 'test' })
  app.use(koaSession(options)).use((context) => {
    if (context.path === '/missing') context.throw(404)
    context.body = respond(context.path, () => context.session)
  })
  const server = createServer(app.callback()).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const cookie = (await fetch(url)).headers.getSetCookie()[0]?.split(';')[0] as string
  await clock.advance(60_000)
  expect((await fetch(`${url}/missing`, { headers: { cookie } })).status).toBe(404)
  await clock.advance(31_000)
  const response = await fetch(url, { headers: { cookie } })
  expect(await response.text()).toBe('visit 2 of a guest')
  expect(response.headers.getSetCookie()[0]).not.toContain(cookie)
})

test('Hono needs no server: a request is an argument', async () => {
  const app = new Hono()
  const store = new Sessions({ cache: new Cache(memory()) })
  app.use(honoSession({ secret, store, cookie: { secure: true } }))
  app.get('/', (context) => context.text(respond('/', () => sessionOf(context))))
  const { headers } = await app.request('https://example.test/')
  const cookie = headers.get('set-cookie') ?? ''
  expect(cookie).toContain('Secure')
  const second = await app.request('https://example.test/', { headers: { cookie } })
  expect(await second.text()).toBe('visit 2 of a guest')
})

test.each(['read', 'cancelled', 'absent'])(
  'Hono publishes a change that comes too late without a server of Node: body %s',
  async (body) => {
    const app = new Hono()
    app.use(honoSession({ secret, store: new Sessions({ cache: new Cache(memory()) }) }))
    app.get('/', (context) => {
      const session: Session = sessionOf(context)
      session.visits = 1
      const change = () => {
        session.visits = 2
      }
      if (body === 'absent') {
        setImmediate(change)
        return context.body(null)
      }
      const source = {
        pull(controller: ReadableStreamDefaultController) {
          change()
          controller.enqueue(new TextEncoder().encode('text'))
          if (body === 'read') controller.close()
        },
      }
      const chunks = new ReadableStream(source, { highWaterMark: 0 })
      return context.body(chunks, { headers: { 'x-kept': 'yes' } })
    })
    const published = lateChange()
    const response = await app.request('/')
    if (body === 'read') {
      expect(await response.text()).toBe('text')
      expect(response.headers.get('x-kept')).toBe('yes')
      expect(response.headers.getSetCookie()).toHaveLength(1)
    } else if (body === 'cancelled') {
      const reader = response.body?.getReader()
      await reader?.read()
      await reader?.cancel()
    }
    expect(await published).toMatchObject({ key: expect.any(String) })
  },
)

test('Hono finds the session of a request that other middleware replaces', async () => {
  const app = new Hono()
  app.use(honoSession({ secret, store: new Sessions({ cache: new Cache(memory()) }) }))
  app.use(bodyLimit({ maxSize: 1_000 }))
  app.post('/', async (context) => {
    Object.assign(sessionOf(context), { user: await context.req.text() })
    return context.text('')
  })
  const body = new Blob(['ada']).stream()
  const response = await app.request('/', { method: 'POST', body, duplex: 'half' } as RequestInit)
  expect([response.status, response.headers.getSetCookie().length]).toEqual([200, 1])
})

test('Hono does not send the headers of a response whose session cannot be stored', async () => {
  const app = new Hono()
  app.use(honoSession({ secret, store: new Sessions({ cache: new Cache(unreachable()) }) }))
  app.onError((_, context) => context.text('', 500))
  app.get('/', (context) => {
    const text = respond('/', () => sessionOf(context))
    return new Response(text, { headers: { 'x-user': 'ada' } })
  })
  const { status, headers } = await app.request('/')
  expect([status, headers.get('x-user'), headers.get('set-cookie')]).toEqual([500, null, null])
})

test('sessionOf names the middleware that is missing', async () => {
  const app = new Hono()
  app.get('/', (context) => context.text(String(sessionOf(context))))
  app.onError((error, context) => context.text(error.message, 500))
  expect(await (await app.request('/')).text()).toContain('Add app.use(session(')
})
