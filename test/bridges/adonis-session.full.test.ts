import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { IgnitorFactory } from '@adonisjs/core/factories'
import type { HttpContext } from '@adonisjs/core/http'
import { defineConfig } from '@adonisjs/session'
import { adonisSessionStore } from '@stowage/bridges/adonis-session'
import { Cache, type CacheStore } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Sessions } from '@stowage/sessions'
import { expect, onTestFinished, test } from 'vitest'
import { recorded } from './backends.ts'
import { cookieOf, Gate, respond, sessionTests } from './session-host.ts'

type Store = ReturnType<typeof adonisSessionStore>

/** An application of AdonisJS, with its provider and its middleware for sessions. */
async function start(stowage: Store, gate: Gate, options: object = {}) {
  const session = defineConfig({ store: 'stowage', stores: { stowage }, age: '1 hour', ...options })
  const providers = [() => import('@adonisjs/session/session_provider')]
  const ignitor = new IgnitorFactory()
    .withCoreProviders()
    .withCoreConfig()
    .merge({ config: { session }, rcFileContents: { providers } })
    .create(new URL('.', import.meta.url))
  const app = ignitor.createApp('web')
  await app.init()
  await app.boot()
  const [server, router] = [await app.container.make('server'), await app.container.make('router')]
  server.use([() => import('@adonisjs/session/session_middleware')])
  server.errorHandler(async () => ({
    default: class {
      handle(_: unknown, { response }: HttpContext) {
        response.status(500)
      }
      report() {}
    },
  }))
  router.get('*', async ({ request, session }) => {
    const set = (changes: object) => {
      for (const [key, value] of Object.entries(changes)) session.put(key, value)
    }
    const regenerate = () => session.regenerate()
    const api = { fields: () => session.all(), set, end: () => session.clear(), regenerate }
    if (request.url() === '/regenerate') session.regenerate()
    const fields = await respond(request.url(true), api, gate)
    if (request.url() !== '/commit') return fields
    await session.commit()
    return set({ step: 'two' })
  })
  await server.boot()
  const listener = createServer(server.handle.bind(server)).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  onTestFinished(async () => {
    listener.close()
    await app.terminate()
  })
  const { port } = listener.address() as AddressInfo
  return (path: string, cookie = '') =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers: { cookie } })
}

sessionTests<Store>({
  name: 'AdonisJS',
  create: adonisSessionStore,
  naive: (cache) => () => ({
    read: async (id) => (await cache.get(id)) ?? null,
    write: (id, data) => cache.set(id, data),
    destroy: async (id) => void (await cache.delete(id)),
    touch: async (id) => void (await cache.touch(id)),
  }),
  start,
  unreadable: 500,
  regenerates: true,
})

const sessionsIn = (store: CacheStore) =>
  new Sessions({ cache: new Cache(store), idleTimeout: '2h' })
const ttlsOf = ({ calls }: ReturnType<typeof recorded>, operation: string) =>
  calls.filter(([name]) => name === operation).map(([, args]) => args.at(-1))

test('a session has the lifetime of its cookie, or of Sessions', async () => {
  const backend = recorded()
  const store = adonisSessionStore(sessionsIn(backend.store))
  for (const options of [
    {},
    { age: 90 },
    { clearWithBrowser: true },
    { age: 90, clearWithBrowser: true },
  ]) {
    const request = await start(store, new Gate(), options)
    expect((await request('/set?user=ada')).status).toBe(200)
  }
  expect(ttlsOf(backend, 'add')).toEqual([3_600_000, 90_000, 7_200_000, 90_000])
})

test('a request that changes nothing moves the expiry of a short session', async () => {
  const backend = recorded()
  const store = adonisSessionStore(sessionsIn(backend.store))
  const request = await start(store, new Gate(), { age: 30 })
  const cookie = cookieOf(await request('/set?user=ada'))
  const stored = Date.now()
  // In the same millisecond, the expiry is the same.
  await expect.poll(() => Date.now()).toBeGreaterThan(stored)
  expect(await (await request('/get', cookie)).json()).toEqual({ user: 'ada' })
  expect(ttlsOf(backend, 'compareAndSet')).toEqual([30_000])
})

test.each(['/regenerate', '/regenerate?cart=lamp'])(
  'a session gets another id with %s',
  async (path) => {
    const sessions = new Sessions({ cache: new Cache(memory()) })
    const request = await start(adonisSessionStore(sessions), new Gate())
    const before = cookieOf(await request('/set?user=ada'))
    const after = cookieOf(await request(path, before))
    expect(await (await request('/get', before)).json()).toEqual({})
    expect(await (await request('/get', after)).json()).toMatchObject({ user: 'ada' })
    expect(await sessions.keys()).toHaveLength(1)
  },
)

test('a session that is committed by hand is stored once more at the end', async () => {
  const sessions = new Sessions({ cache: new Cache(memory()) })
  const request = await start(adonisSessionStore(sessions), new Gate())
  const cookie = cookieOf(await request('/commit?step=one'))
  expect(await (await request('/get', cookie)).json()).toEqual({ step: 'two' })
})
