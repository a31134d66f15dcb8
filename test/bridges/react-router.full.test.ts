import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import { type SessionStrategy, sessionStrategy } from '@stowage/bridges/react-router'
import { Cache } from '@stowage/core'
import { Sessions } from '@stowage/sessions'
import { createRequestHandler, createSessionStorage, type ServerBuild } from 'react-router'
import { expect, onTestFinished, test } from 'vitest'
import { recorded } from './backends.ts'
import { Gate, respond, sessionTests } from './session-host.ts'

type Store = SessionStrategy<Record<string, unknown>>

/** The server of an application of React Router with a resource route. */
async function start(store: Store, gate: Gate, maxAge = 3_600) {
  const cookie = { name: '__session', secrets: ['a secret of a test'], maxAge }
  const { getSession, commitSession, destroySession } = createSessionStorage({ cookie, ...store })
  const loader = async ({ request }: { request: Request }) => {
    const session = await getSession(request.headers.get('cookie'))
    const before = JSON.stringify(session.data)
    const set = (changes: object) => {
      for (const [key, value] of Object.entries(changes)) session.set(key, value)
    }
    let ended: string | undefined
    const end = async () => {
      ended = await destroySession(session)
    }
    const body = await respond(request.url, { fields: () => session.data, set, end }, gate)
    const isChanged = JSON.stringify(session.data) !== before
    const setCookie = ended ?? (isChanged ? await commitSession(session) : '')
    return Response.json(body, { headers: setCookie ? { 'set-cookie': setCookie } : {} })
  }
  const handler = createRequestHandler({
    ...build,
    routes: { page: { ...page, module: { default: undefined, loader } } },
  })
  const server = createServer(getRequestListener((request) => handler(request)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  return (path: string, cookies = ''): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}${path}`, { headers: { cookie: cookies } })
}

const page = { id: 'page', path: '*' }

/** What the compiler of the framework writes for an application without pages. */
const build: Omit<ServerBuild, 'routes'> = {
  entry: { module: { default: () => new Response(), handleError: () => {} } },
  assets: { entry: { imports: [], module: '' }, routes: {}, url: '', version: '' },
  ...{ assetsBuildDirectory: '', publicPath: '/', future: {} as never },
  ...{
    ssr: true,
    isSpaMode: false,
    prerender: [],
    routeDiscovery: { mode: 'initial', manifestPath: '' },
  },
}

sessionTests<Store>({
  name: 'React Router',
  create: (sessions) => sessionStrategy(sessions),
  naive: (cache) => ({
    createData: async (data) => {
      const id = crypto.randomUUID()
      await cache.set(id, data)
      return id
    },
    readData: async (id) => (await cache.get(id)) ?? null,
    updateData: (id, data) => cache.set(id, data),
    deleteData: async (id) => void (await cache.delete(id)),
  }),
  start,
  merges: false,
  unreadable: 500,
})

test('a session has the lifetime of its cookie, or of Sessions', async () => {
  const { store, calls } = recorded()
  const sessions = new Sessions({ cache: new Cache(store), idleTimeout: '2h' })
  const strategy = sessionStrategy(sessions)
  await strategy.createData({}, new Date(Date.now() + 60_000))
  await strategy.createData({})
  const ttls = calls.filter(([name]) => name === 'add').map(([, args]) => Number(args.at(-1)))
  expect(ttls[0]).toBeGreaterThan(50_000)
  expect(ttls[0]).toBeLessThanOrEqual(60_000)
  expect(ttls[1]).toBe(7_200_000)
})

test('ends a session that was never stored', async () => {
  const { store } = recorded()
  const request = await start(
    sessionStrategy(new Sessions({ cache: new Cache(store) })),
    new Gate(),
  )
  expect((await request('/end')).status).toBe(200)
})
