import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { koaSessionStore } from '@stowage/bridges/koa-session'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Sessions } from '@stowage/sessions'
import Koa from 'koa'
import session, { type CreateSessionOptions } from 'koa-session'
import { expect, onTestFinished, test } from 'vitest'
import { recorded } from './backends.ts'
import { cookieOf, Gate, respond, sessionTests } from './session-host.ts'

type Store = ReturnType<typeof koaSessionStore>

async function start(store: Store, gate: Gate, options: Partial<CreateSessionOptions> = {}) {
  const app = new Koa()
  app.keys = ['a secret of a test']
  app.silent = true
  app.use(session({ store, maxAge: 3_600_000, ...options }, app))
  app.use(async (context) => {
    context.body = await respond(
      context.url,
      {
        fields: () => context.session?.toJSON() ?? {},
        set: (changes) => Object.assign(context.session as object, changes),
        end: () => {
          context.session = null
        },
        regenerate: () => context.session?.regenerate(),
      },
      gate,
    )
  })
  const server = createServer(app.callback()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  return (path: string, cookie = '') =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers: { cookie } })
}

sessionTests<Store>({
  name: 'koa-session',
  create: koaSessionStore,
  naive: (cache) => ({
    get: (id) => cache.get(id),
    set: (id, value, ttl) => cache.set(id, value, { ttl: ttl as number }),
    destroy: async (id) => void (await cache.delete(id)),
  }),
  start,
  unreadable: 500,
  regenerates: true,
})

test('rolling moves the cookie of each response, but writes rarely', async () => {
  const { store, calls } = recorded()
  const sessions = new Sessions({ cache: new Cache(store) })
  const request = await start(koaSessionStore(sessions), new Gate(), { rolling: true })
  const cookie = cookieOf(await request('/set?user=ada'))
  const before = calls.length
  const response = await request('/get', cookie)
  expect(cookieOf(response)).not.toBe('')
  expect(calls.slice(before).map(([name]) => name)).toEqual(['get'])
})

test('a session has the lifetime of its cookie, or of Sessions', async () => {
  const { store, calls } = recorded()
  const sessions = new Sessions({ cache: new Cache(store), idleTimeout: '2h' })
  const ttls = () => calls.filter(([name]) => name === 'add').map(([, args]) => args.at(-1))
  const request = await start(koaSessionStore(sessions), new Gate())
  await request('/set?user=ada')
  const endless = await start(koaSessionStore(sessions), new Gate(), { maxAge: 'session' })
  const cookie = cookieOf(await endless('/set?user=ada'))
  expect(ttls()).toEqual([3_610_000, 7_200_000])
  expect(await (await endless('/get', cookie)).json()).toEqual({ user: 'ada' })
})

test('a session can be saved twice, and get another id, in one request', async () => {
  const app = new Koa()
  app.keys = ['a secret of a test']
  const sessions = new Sessions({ cache: new Cache(memory()) })
  app.use(session({ store: koaSessionStore(sessions) }, app))
  app.use(async (context) => {
    if (context.session === null) return
    context.session.step = 'one'
    await context.session.manuallyCommit()
    context.session.step = 'two'
    if (context.path === '/login') await context.session.regenerate()
    context.body = 'done'
  })
  const server = createServer(app.callback()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const cookie = cookieOf(await fetch(url))
  expect((await sessions.all()).map(({ session: { step } }) => step)).toEqual(['two'])
  await fetch(`${url}/login`, { headers: { cookie } })
  expect((await sessions.all()).map(({ session: { step } }) => step)).toEqual(['two'])
  expect(await sessions.keys()).toHaveLength(1)
})
