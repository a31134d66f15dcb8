import { honoSessionsStore } from '@stowage/bridges/hono-sessions'
import { Hono } from 'hono'
import { type Session, sessionMiddleware } from 'hono-sessions'
import { type Gate, respond, sessionTests } from './session-host.ts'

type Store = ReturnType<typeof honoSessionsStore>

async function start(store: Store, gate: Gate) {
  const app = new Hono<{ Variables: { session: Session; session_key_rotation: boolean } }>()
  app.use(sessionMiddleware({ store, expireAfterSeconds: 3_600 }))
  app.get('*', async (context) => {
    const session = context.get('session')
    const fields = () =>
      Object.fromEntries(
        Object.entries(session.getCache()._data).map(([key, { value }]) => [key, value]),
      )
    const set = (changes: object) => {
      for (const [key, value] of Object.entries(changes)) session.set(key, value)
    }
    const end = () => session.deleteSession()
    const regenerate = () => context.set('session_key_rotation', true)
    return context.json(await respond(context.req.url, { fields, set, end, regenerate }, gate))
  })
  return async (path: string, cookie = '') => app.request(path, { headers: { cookie } })
}

sessionTests<Store>({
  name: 'hono-sessions',
  create: honoSessionsStore,
  naive: (cache) => ({
    getSessionById: async (id = '') => (await cache.get(id)) ?? null,
    createSession: (id, session) => cache.set(id, session),
    persistSessionData: (id, session) => cache.set(id, session),
    deleteSession: async (id) => void (await cache.delete(id)),
  }),
  start,
  unreadable: 500,
  regenerates: true,
})
