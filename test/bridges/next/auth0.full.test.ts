// In a folder of its own, because Next.js declares the environment of all processes of a compilation.
import { execFile } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { Auth0Client } from '@auth0/nextjs-auth0/server'
import type { SessionData, SessionDataStore } from '@auth0/nextjs-auth0/types'
import { auth0SessionStore } from '@stowage/bridges/nextjs-auth0'
import { Cache, CacheError } from '@stowage/core'
import { Deferred } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { Sessions } from '@stowage/sessions'
import { NextRequest, NextResponse } from 'next/server.js'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { toolPath } from '../../../scripts/lib/prepare.mjs'
import { backends, recorded, unreachable } from '../backends.ts'

// What the server of Auth0 replies to a request for its configuration.
const discovered = async () => Response.json({ issuer: 'https://tenant.example/' })
beforeAll(() => {
  const { fetch } = globalThis
  vi.stubGlobal('fetch', (url: string | URL, init?: RequestInit) =>
    String(url).startsWith('https://tenant.example/') ? discovered() : fetch(url, init),
  )
})
afterAll(() => void vi.unstubAllGlobals())

const secret = '0123456789abcdef0123456789abcdef'
const baseUrl = 'http://127.0.0.1:3000'

/** The library creates this cookie after a login at Auth0, which no test can reach. */
async function cookieOf(id: string): Promise<string> {
  const file = new URL(
    '../node_modules/@auth0/nextjs-auth0/dist/server/cookies.js',
    import.meta.url,
  )
  const { encrypt } = await import(pathToFileURL(file.pathname).href)
  return `__session=${await encrypt({ id }, secret, Math.floor(Date.now() / 1_000) + 3_600)}`
}

/** An application of Next.js, as far as its requests pass the client of Auth0. */
async function start(sessionStore: SessionDataStore) {
  const auth0 = new Auth0Client({
    ...{ domain: 'tenant.example', clientId: 'client', clientSecret: 'secret', secret },
    ...{ appBaseUrl: baseUrl, sessionStore, logoutStrategy: 'v2' },
  })
  const id = crypto.randomUUID()
  await sessionStore.set(id, sessionOf('ada', 'sid-1'))
  const cookie = await cookieOf(id)
  const request = (path = '/') => new NextRequest(`${baseUrl}${path}`, { headers: { cookie } })
  return {
    id,
    visit: (path?: string) => auth0.middleware(request(path)),
    read: () => auth0.getSession(request()),
    /** What a route handler does: reads the session, and stores a changed copy. */
    async update(changes: object, meanwhile?: () => Promise<unknown>) {
      const [req, res] = [request(), new NextResponse()]
      const session = (await auth0.getSession(req)) as SessionData
      await meanwhile?.()
      await auth0.updateSession(req, res, { ...session, ...changes })
    },
  }
}

const now = Math.floor(Date.now() / 1_000)

function sessionOf(sub: string, sid: string): SessionData {
  const tokenSet = { accessToken: 'token', expiresAt: now + 3_600 }
  return { user: { sub }, tokenSet, internal: { sid, createdAt: now } }
}

const indexed = (cache: Cache) =>
  new Sessions<SessionData>({
    ...{ cache, index: ({ user }) => user.sub, indexSecret: 'a secret of a test' },
  })

describe.each(backends)('nextjs-auth0 on $name', (backend) => {
  const createStore = backend.use()
  const create = () =>
    auth0SessionStore(
      indexed(new Cache(createStore(), { prefix: `s${crypto.randomUUID()}:`, ttl: '1h' })),
    )

  test('reads, changes and ends a session', async () => {
    const { read, update, visit } = await start(create())
    await update({ cart: 'lamp' })
    expect(await read()).toMatchObject({ user: { sub: 'ada' }, cart: 'lamp' })
    await visit()
    expect((await visit('/auth/logout')).status).toBe(307)
    expect(await read()).toBeNull()
  })

  test('a slower request does not store a session again that has ended', async () => {
    const { read, update, visit } = await start(create())
    const updating = update({ cart: 'lamp' }, () => visit('/auth/logout'))
    await expect(updating).rejects.toThrow('not authenticated')
    expect(await read()).toBeNull()
  })

  test('keeps the token that one request has renewed, and the change of another', async () => {
    const { read, update } = await start(create())
    const tokenSet = { accessToken: 'renewed', expiresAt: 1 }
    await update({ cart: 'lamp' }, () => update({ tokenSet }))
    expect(await read()).toMatchObject({ cart: 'lamp', tokenSet })
  })

  test('a logout token ends the session that it means, or all of its user', async () => {
    const store = create()
    const [first, second] = [await start(store), await start(store)]
    await store.set(second.id, sessionOf('ada', 'sid-2'))
    const other = await start(store)
    await store.set(other.id, sessionOf('bob', 'sid-1'))
    await store.deleteByLogoutToken({ sub: 'ada', sid: 'sid-1' })
    expect([await first.read(), (await second.read())?.user.sub]).toEqual([null, 'ada'])
    await store.deleteByLogoutToken({ sub: 'ada' })
    expect(await second.read()).toBeNull()
    expect((await other.read())?.user.sub).toBe('bob')
  })
})

/** Without `update`: the library reads and writes in two calls. */
function naive(cache: Cache): SessionDataStore {
  return {
    get: async (id) => (await cache.get<SessionData>(id)) ?? null,
    set: (id, session) => cache.set(id, session),
    delete: async (id) => void (await cache.delete(id)),
  }
}

test.each([
  { name: 'a naive store', create: naive, user: 'ada' },
  {
    name: 'the bridge',
    create: (cache: Cache): SessionDataStore => auth0SessionStore(indexed(cache)),
    user: undefined,
  },
])('after a logout between its read and its write, the user of $name is $user', async (options) => {
  const store = options.create(new Cache(memory()))
  const gate = new Deferred<void>()
  let isHeld = false
  const hold = async () => {
    if (!isHeld) return
    isHeld = false
    gate.resolve()
    await new Promise(setImmediate)
  }
  // The moment before the write, whichever method makes it.
  const held: SessionDataStore = {
    ...store,
    set: (id, session) => hold().then(() => store.set(id, session)),
    ...(store.update && {
      update: (id, session) => hold().then(() => store.update?.(id, session) ?? false),
    }),
  }
  const { id, read, update } = await start(held)
  isHeld = true
  const updating = update({ cart: 'lamp' })
  await gate.promise
  await store.delete(id)
  await updating
  expect((await read())?.user.sub).toBe(options.user)
})

test('a session that the application has made anew replaces the stored one, if that exists', async () => {
  const store = auth0SessionStore(indexed(new Cache(memory())))
  const session = sessionOf('ada', 'sid-1')
  expect(await store.update('missing', session)).toBe(false)
  await store.set('id', session)
  expect(await store.update('id', sessionOf('ada', 'sid-2'))).toBe(true)
  expect((await store.get('id'))?.internal.sid).toBe('sid-2')
})

test('sessions have a ttl, and the mark of a session is not part of its JSON', async () => {
  const { store, calls } = recorded()
  const sessions = auth0SessionStore(new Sessions<SessionData>({ cache: new Cache(store) }))
  await sessions.set('secret id', sessionOf('ada', 'sid-1'))
  const writes = calls.filter(([name]) => name === 'add')
  expect(writes.map(([, args]) => args.at(-1))).toEqual([86_400_000])
  expect(JSON.stringify(writes.map(([, args]) => args.map(String)))).not.toContain('secret id')
  const session = await sessions.get('secret id')
  expect(JSON.stringify(session)).toBe(JSON.stringify(sessionOf('ada', 'sid-1')))
})

test('refuses a logout token without a user, and tokens of another issuer', async () => {
  const store = auth0SessionStore(indexed(new Cache(memory())))
  await expect(store.deleteByLogoutToken({ sid: 'sid-1' })).rejects.toThrow('without "sub"')
  const session = sessionOf('ada', 'sid-1')
  const mcd = { domain: 'one.example', issuer: 'https://one.example/' }
  await store.set('id', { ...session, internal: { ...session.internal, mcd } })
  await store.deleteByLogoutToken({ sub: 'ada', iss: 'https://two.example/' })
  expect(await store.get('id')).not.toBeNull()
  await store.deleteByLogoutToken({ sub: 'ada', iss: mcd.issuer })
  expect(await store.get('id')).toBeNull()
})

test('rejects with the error of the backend', async () => {
  const store = auth0SessionStore(indexed(new Cache(unreachable())))
  await expect(store.get('id')).rejects.toSatisfy(CacheError.is)
})

test('this file compiles: the store fits the interface of the library', async () => {
  const folder = new URL('.', import.meta.url).pathname
  const compiled = await promisify(execFile)(process.execPath, [
    toolPath('typescript', 'bin/tsc'),
    ...['-p', folder],
  ]).catch((error) => error)
  expect(compiled.stdout).toBe('')
})
