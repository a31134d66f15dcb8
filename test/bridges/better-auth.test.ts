import { betterAuthStorage } from '@stowage/bridges/better-auth'
import { Cache, CacheError } from '@stowage/core'
import { Deferred } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { betterAuth } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { describe, expect, test } from 'vitest'
import { backends, recorded, unreachable } from './backends.ts'

const baseURL = 'http://127.0.0.1:3000'
type Storage = ReturnType<typeof betterAuthStorage>

/** An application in which every read of a session refreshes it. */
function start(secondaryStorage: Storage) {
  const auth = betterAuth({
    baseURL,
    secret: '0123456789abcdef0123456789abcdef',
    database: memoryAdapter({ user: [], session: [], account: [], verification: [] }),
    emailAndPassword: { enabled: true },
    session: { updateAge: 0 },
    rateLimit: { enabled: true, storage: 'secondary-storage', window: 3_600, max: 40 },
    secondaryStorage,
  })
  const headers = { 'x-forwarded-for': '10.0.0.1', origin: baseURL }
  const get = (path: string, cookie = '') =>
    auth.handler(new Request(`${baseURL}/api/auth${path}`, { headers: { ...headers, cookie } }))
  const post = (path: string, body: object, cookie = '') =>
    auth.handler(
      new Request(`${baseURL}/api/auth${path}`, {
        method: 'POST',
        headers: { ...headers, cookie, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    )
  const signUp = async () => {
    const user = { email: 'ada@example.com', password: 'correct horse', name: 'Ada' }
    const reply = await post('/sign-up/email', user)
    expect(reply.status).toBe(200)
    return reply.headers.get('set-cookie')?.split(';')[0] as string
  }
  const userOf = async (cookie: string) => {
    const session = (await (await get('/get-session', cookie)).json()) as {
      user: { name: string }
    } | null
    return session?.user.name
  }
  return { get, post, signUp, userOf }
}

describe.each(backends)('better-auth on $name', (backend) => {
  const createStore = backend.use()
  const create = () =>
    betterAuthStorage(new Cache(createStore(), { prefix: `auth${crypto.randomUUID()}:` }))

  test('signs in, reads the session, and signs out', async () => {
    const { post, signUp, userOf } = start(create())
    const cookie = await signUp()
    expect(await userOf(cookie)).toBe('Ada')
    expect((await post('/sign-out', {}, cookie)).status).toBe(200)
    expect(await userOf(cookie)).toBeUndefined()
    const credentials = { email: 'ada@example.com', password: 'correct horse' }
    const reply = await post('/sign-in/email', credentials)
    expect(await userOf(reply.headers.get('set-cookie')?.split(';')[0] as string)).toBe('Ada')
  })

  test('permits exactly the limit of 100 parallel requests', async () => {
    const { get } = start(create())
    const replies = await Promise.all(Array.from({ length: 100 }, () => get('/get-session')))
    expect(replies.filter(({ status }) => status === 200)).toHaveLength(40)
    expect(replies.filter(({ status }) => status === 429)).toHaveLength(60)
  })

  test('gives a value to one of several calls that delete it', async () => {
    const storage = create()
    await storage.set('verification:a', '{}', 60)
    const taken = await Promise.all(
      Array.from({ length: 8 }, () => storage.getAndDelete('verification:a')),
    )
    expect(taken.filter((value) => value !== null)).toEqual(['{}'])
  })
})

/** Holds the next write of a session, after `hold()`, until it is released. */
function holding(storage: Storage) {
  const arrival = new Deferred<void>()
  const release = new Deferred<void>()
  let isHolding = false
  const held: Storage = {
    ...storage,
    async set(key, value, ttl) {
      if (isHolding && value.includes('"session":{')) {
        isHolding = false
        arrival.resolve()
        await release.promise
      }
      return storage.set(key, value, ttl)
    },
  }
  const hold = () => {
    isHolding = true
    return { arrived: arrival.promise, release: () => release.resolve() }
  }
  return { held, hold }
}

/** What one would write at first. */
function naive(cache: Cache): Storage {
  return {
    ...betterAuthStorage(cache),
    get: async (key) => (await cache.get<string>(key)) ?? null,
    set: (key, value, ttl) => cache.set(key, value, ttl ? { ttl: ttl * 1_000 } : {}),
    delete: async (key) => void (await cache.delete(key)),
  }
}

test.each([
  { name: 'a naive storage', create: naive, user: 'Ada' },
  { name: 'the bridge', create: betterAuthStorage, user: undefined },
])('after a sign-out during a refresh, the user of $name is $user', async ({ create, user }) => {
  const { held, hold } = holding(create(new Cache(memory())))
  const { get, post, signUp, userOf } = start(held)
  const cookie = await signUp()
  const { arrived, release } = hold()
  const refreshing = get('/get-session', cookie)
  await arrived
  await post('/sign-out', {}, cookie)
  release()
  await refreshing
  expect(await userOf(cookie)).toBe(user)
})

test('a key of a revoked session accepts no session for a minute, but other values', async () => {
  const clock = new ManualClock()
  const storage = betterAuthStorage(new Cache(memory({ clock }), { clock }))
  const session = JSON.stringify({ session: { token: 't' }, user: {} })
  await storage.set('t', session, 3_600)
  await storage.delete('t')
  await storage.set('t', session, 3_600)
  expect([await storage.get('t'), await storage.getAndDelete('t')]).toEqual([null, null])
  await storage.set('list', '[]', 60)
  await storage.delete('list')
  await storage.set('list', '[1]', 60)
  expect(await storage.get('list')).toBe('[1]')
})

test('a ttl of 0 is over, and one of a counter applies when it is created', async () => {
  const { store, calls } = recorded()
  const storage = betterAuthStorage(new Cache(store))
  await storage.set('k', '{}', 0)
  expect(await storage.get('k')).toBeNull()
  expect([await storage.increment('n', 10), await storage.increment('n', 10)]).toEqual([1, 2])
  expect(calls.find(([name]) => name === 'increment')?.[1].at(-1)).toBe(10_000)
})

test('rejects with the error of the backend', async () => {
  const storage = betterAuthStorage(new Cache(unreachable()))
  await expect(storage.get('k')).rejects.toSatisfy(CacheError.is)
  await expect(storage.delete('k')).rejects.toSatisfy(CacheError.is)
})
