import { useSession, useSessionStorage } from '@hono/session'
import { type HonoSessionStorage, honoSessionStorage } from '@stowage/bridges/hono-session'
import { Cache, channels, type ErrorEvent } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Sessions } from '@stowage/sessions'
import { Hono } from 'hono'
import { expect, onTestFinished, test } from 'vitest'
import { unreachable } from './backends.ts'
import { Gate, respond, sessionTests } from './session-host.ts'

type Data = Record<string, unknown>
type Store = () => HonoSessionStorage<Data>

async function start(store: Store, gate: Gate) {
  const app = new Hono()
  app.use(useSessionStorage(store), useSession({ secret: 'a secret of 32 characters, for tests.' }))
  app.get('*', async (context) => {
    const { session } = context.var as never as { session: SessionOfRequest }
    let isChanged = false
    // After a change, `get` would read the session without it.
    const fields = async () => (isChanged ? session.data : await session.get()) ?? {}
    const set = async (changes: object) => {
      await session.update((data) => ({ ...data, ...changes }))
      isChanged = true
    }
    const end = async () => {
      await session.get()
      session.delete()
    }
    return context.json(await respond(context.req.url, { fields, set, end }, gate))
  })
  return async (path: string, cookie = '') => {
    const response = await app.request(path, { headers: { cookie } })
    // The library does not wait until the session is stored.
    await new Promise(setImmediate)
    return response
  }
}

interface SessionOfRequest {
  readonly data: Data | null
  get(): Promise<Data | null>
  update(change: (data: Data | null) => Data): Promise<void>
  delete(): void
}

sessionTests<Store>({
  name: '@hono/session',
  create: (sessions) => honoSessionStorage(sessions),
  naive: (cache) => () => ({
    get: async (id) => (await cache.get<Data>(id)) ?? null,
    set: (id, session) => void cache.set(id, session),
    delete: (id) => void cache.delete(id),
  }),
  start,
  unreadable: 500,
})

/** The rejections that nothing handles, of which the first one ends a process. */
function rejections(): unknown[] {
  const seen: unknown[] = []
  const listeners = process.listeners('unhandledRejection')
  process.removeAllListeners('unhandledRejection')
  process.on('unhandledRejection', (error) => void seen.push(error))
  onTestFinished(() => {
    process.removeAllListeners('unhandledRejection')
    for (const listener of listeners) process.on('unhandledRejection', listener)
  })
  return seen
}

test.each([
  { name: 'a naive storage', count: 1, isNaive: true },
  { name: 'the bridge', count: 0, isNaive: false },
])('a failed write of $name: $count unhandled rejections', async ({ count, isNaive }) => {
  const seen = rejections()
  const events: ErrorEvent[] = []
  const listener = (event: unknown) => void events.push(event as ErrorEvent)
  channels.error.subscribe(listener)
  onTestFinished(() => void channels.error.unsubscribe(listener))
  const cache = new Cache(unreachable())
  const store: Store = isNaive
    ? () => ({
        get: async () => null,
        set: (id, session) => void cache.set(id, session),
        delete: (id) => void cache.delete(id),
      })
    : honoSessionStorage(new Sessions({ cache }))
  const request = await start(store, new Gate())
  expect((await request('/set?user=ada')).status).toBe(200)
  await expect.poll(() => events.length).toBeGreaterThan(0)
  await new Promise(setImmediate)
  expect(seen).toHaveLength(count)
  if (!isNaive) expect(events.some(({ isRejected }) => isRejected === false)).toBe(true)
})

test.each(['', 7 as never])('the id %j, which is not one, is an event', async (id) => {
  const seen = rejections()
  const events: unknown[] = []
  const listener = (event: unknown) => void events.push(event)
  channels.error.subscribe(listener)
  onTestFinished(() => void channels.error.unsubscribe(listener))
  const storage = honoSessionStorage(new Sessions({ cache: new Cache(memory()) }))()
  storage.set(id, {})
  storage.delete(id)
  await expect.poll(() => events).toHaveLength(2)
  await new Promise(setImmediate)
  expect(seen).toEqual([])
})

test('a value that cannot be stored is an event, which does not contain the id', async () => {
  const events: ErrorEvent[] = []
  const listener = (event: unknown) => void events.push(event as ErrorEvent)
  channels.error.subscribe(listener)
  onTestFinished(() => void channels.error.unsubscribe(listener))
  const storage = honoSessionStorage(new Sessions({ cache: new Cache(memory()) }))()
  storage.set('secret id', { n: 1n })
  await expect.poll(() => events).toHaveLength(1)
  expect(JSON.stringify(events.map(({ key }) => key))).not.toContain('secret')
})
