import { type SessionStrategy, sessionStrategy } from '@stowage/bridges/react-router'
import { Cache } from '@stowage/core'
import { Sessions } from '@stowage/sessions'
import { createSessionStorage, createStaticHandler } from 'react-router'
import { expect, test } from 'vitest'
import { recorded } from './backends.ts'
import { Gate, respond, sessionTests } from './session-host.ts'

type Store = SessionStrategy<Record<string, unknown>>

/** A resource route, as the server of a React Router application runs it. */
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
  const { queryRoute } = createStaticHandler([{ path: '*', loader }])
  return async (path: string, cookies = ''): Promise<Response> => {
    const request = new Request(`http://127.0.0.1${path}`, { headers: { cookie: cookies } })
    return queryRoute(request).catch(() => new Response(null, { status: 500 }))
  }
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
