import { createSign, generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { openidSessionStore } from '@stowage/bridges/express-openid-connect'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { Sessions } from '@stowage/sessions'
import express from 'express'
import { auth, type ConfigParams } from 'express-openid-connect'
import { expect, onTestFinished, test } from 'vitest'
import { cookieOf, Gate, respond, sessionTests } from './session-host.ts'

type Store = NonNullable<NonNullable<ConfigParams['session']>['store']>

async function listen(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function start(store: Store, gate: Gate, options: ConfigParams = {}) {
  const app = express()
  const url = await listen(app)
  app.use(
    auth({
      ...{ baseURL: url, issuerBaseURL: 'http://127.0.0.1:1', clientID: 'client' },
      ...{ secret: 'a secret of a test, which is long', authRequired: false, session: { store } },
      ...options,
    }),
  )
  app.get('/me', (request, response) => void response.json(request.oidc.user ?? null))
  app.get('*path', async (request: express.Request & { appSession?: object }, response) => {
    const { appSession = {} } = request
    const end = () => Reflect.set(request, 'appSession', undefined)
    const set = (changes: object) => Object.assign(appSession, changes)
    response.json(await respond(request.url, { fields: () => appSession, set, end }, gate))
  })
  return (path: string, cookie = '', init: RequestInit = {}) =>
    fetch(url + path, { redirect: 'manual', headers: { cookie }, ...init })
}

sessionTests<Store>({
  name: 'express-openid-connect',
  create: (sessions) => openidSessionStore(sessions),
  naive: (cache) => ({
    get: (id, callback) =>
      void cache.get<never>(id).then((session) => callback(null, session ?? null)),
    set: (id, session, callback) => void cache.set(id, session).then(() => callback?.()),
    destroy: (id, callback) => void cache.delete(id).then(() => callback?.()),
  }),
  start,
  // The library takes it for a request without a session, and then cannot delete the session.
  unreadable: 500,
})

/** A provider that signs tokens. The test is the browser that carries them. */
async function startProvider() {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'key', alg: 'RS256', use: 'sig' }
  const issuer = await listen((request, response) => {
    const metadata = {
      issuer,
      jwks_uri: `${issuer}/keys`,
      authorization_endpoint: `${issuer}/authorize`,
      id_token_signing_alg_values_supported: ['RS256'],
      response_types_supported: ['id_token'],
      response_modes_supported: ['form_post'],
    }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(request.url === '/keys' ? { keys: [jwk] } : metadata))
  })
  const sign = (claims: object, typ = 'JWT') => {
    const now = Math.floor(Date.now() / 1_000)
    const payload = { iss: issuer, aud: 'client', iat: now, exp: now + 600, ...claims }
    const text = [{ alg: 'RS256', kid: 'key', typ }, payload]
      .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
      .join('.')
    return `${text}.${createSign('RSA-SHA256').update(text).sign(privateKey, 'base64url')}`
  }
  return { issuer, sign }
}

type Provider = Awaited<ReturnType<typeof startProvider>>

async function login(
  request: Awaited<ReturnType<typeof start>>,
  { sign }: Provider,
  cookie = '',
): Promise<string> {
  const begun = await request('/login', cookie)
  const { searchParams } = new URL(begun.headers.get('location') ?? '')
  const id_token = sign({ sub: 'ada', sid: 'sid-1', nonce: searchParams.get('nonce') })
  const body = new URLSearchParams({ id_token, state: searchParams.get('state') ?? '' })
  const reply = await request('/callback', '', {
    ...{ method: 'POST', body, headers: { cookie: `${cookie}; ${cookieOf(begun)}` } },
  })
  expect(reply.status).toBe(302)
  return cookieOf(reply)
}

test('logs in, out, and out again by the provider', async () => {
  const provider = await startProvider()
  const stores = [new Cache(memory()), new Cache(memory())].map((cache) =>
    openidSessionStore<never>(new Sessions({ cache })),
  )
  const [store, logouts] = stores as [Store, Store]
  const request = await start(store, new Gate(), {
    issuerBaseURL: provider.issuer,
    backchannelLogout: { store: logouts as never },
  })
  const me = async (cookie: string) => (await request('/me', cookie)).json()
  const first = await login(request, provider)
  expect(await me(first)).toMatchObject({ sub: 'ada' })
  await request('/logout', first)
  expect(await me(first)).toBeNull()

  const second = await login(request, provider)
  expect(await me(second)).toMatchObject({ sub: 'ada' })
  const logout = async () => {
    const events = { 'http://schemas.openid.net/event/backchannel-logout': {} }
    const jti = crypto.randomUUID()
    const token = provider.sign({ sub: 'ada', sid: 'sid-1', jti, events }, 'logout+jwt')
    const body = new URLSearchParams({ logout_token: token })
    return (await request('/backchannel-logout', '', { method: 'POST', body })).status
  }
  // The second one is stored under the same key.
  expect([await logout(), await logout()]).toEqual([204, 204])
  expect(await me(second)).toBeNull()
  expect(await me(await login(request, provider))).toMatchObject({ sub: 'ada' })
})

test('a session of another library is none', async () => {
  const sessions = new Sessions({ cache: new Cache(memory()) })
  await sessions.create('id', { user: 'ada' })
  const read = promisify(openidSessionStore<never>(sessions).get)
  expect(await read('id')).toBeNull()
})

test('a login does not take fields of a session that has ended to another id', async () => {
  const provider = await startProvider()
  const sessions = new Sessions({ cache: new Cache(memory()) })
  const store = openidSessionStore<never>(sessions)
  const afterRead: (() => Promise<void>)[] = []
  const slow: Store = {
    get: (id, callback) =>
      store.get(id, async (error, session) => {
        await afterRead.shift()?.()
        callback(error, session)
      }),
    set: (id, session, callback) => store.set(id, session as never, callback),
    destroy: (id, callback) => store.destroy(id, callback),
  }
  const request = await start(slow, new Gate(), { issuerBaseURL: provider.issuer })
  const cartAfterLogin = async (...ends: typeof afterRead) => {
    const cookie = cookieOf(await request('/set?cart=lamp'))
    // The requests are /login and /callback.
    afterRead.push(async () => {}, ...ends)
    const loggedIn = await login(request, provider, cookie)
    expect(await (await request('/me', loggedIn)).json()).toMatchObject({ sub: 'ada' })
    return ((await (await request('/get', loggedIn)).json()) as { cart?: string }).cart
  }
  expect(await cartAfterLogin()).toBe('lamp')
  expect(await cartAfterLogin(() => sessions.clear())).toBeUndefined()
})
