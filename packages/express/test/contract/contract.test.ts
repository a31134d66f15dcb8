import { CacheError, type CacheStore } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memcached } from '@stowage/memcached'
import { memory } from '@stowage/memory'
import { ensureTable, postgres } from '@stowage/postgres'
import { redis } from '@stowage/redis'
import { isFullTier, sharedPostgres, startMemcached, startRedis } from '@stowage/test-servers'
import type { Express, Request } from 'express'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  attributesOf,
  Client,
  dataOf,
  type FrameworkName,
  frameworks,
  type MiddlewareName,
  middlewares,
  type Options,
  promised,
  serve,
} from './middlewares.ts'

const minute = 60_000
const cleanups: (() => unknown)[] = []
const stores: Record<string, () => CacheStore> = {
  memory: () => memory(),
  'memory with shared values': () => memory({ values: 'shared' }),
}

beforeAll(async () => {
  const [redisServer, memcachedServer] = [await startRedis(), await startMemcached()]
  stores.Redis = () => redis({ url: redisServer.url, timeout: '20s' })
  stores.memcached = () => memcached({ servers: [memcachedServer.address], timeout: '20s' })
  servers.push(redisServer, memcachedServer)
  if (isFullTier) await startDatabase()
})

async function startDatabase(): Promise<void> {
  const { url, stop } = await sharedPostgres()
  const options = { url, table: 'sessions', logged: true, timeout: '20s' } as const
  await ensureTable(options)
  stores.PostgreSQL = () => postgres(options)
  servers.push({ stop })
}

const servers: { stop(): Promise<unknown> }[] = []
afterAll(() => Promise.all(servers.map((server) => server.stop())))
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

type AnySession = Request['session'] & Record<string, unknown>
const sessionOf = (request: Request) => request.session as AnySession

/** Routes for everything that an application does with its session. */
function routes(app: Express): void {
  app.get('/read', (request, response) => void response.json(dataOf(request)))
  app.get('/untouched', (_, response) => void response.json('untouched'))
  app.get('/id', (request, response) => {
    response.json([request.sessionID, request.session.id, typeof request.sessionStore])
  })
  app.get('/set/:key/:value', (request, response) => {
    sessionOf(request)[String(request.params.key)] = request.params.value
    response.json(dataOf(request))
  })
  app.get('/redirect', (request, response) => {
    sessionOf(request).redirected = true
    response.redirect('/read')
  })
  app.get('/stream', async (request, response) => {
    sessionOf(request).streamed = true
    response.write('first,')
    await new Promise((resolve) => setTimeout(resolve, 10))
    response.write('second,')
    response.end('last')
  })
  app.get('/head', (request, response) => {
    sessionOf(request).head = true
    response.writeHead(201, { 'Content-Type': 'text/plain', 'Set-Cookie': ['other=1'] })
    response.end('written')
  })
  app.get('/save', async (request, response) => {
    sessionOf(request).saved = 1
    const returned = request.session.save()
    await promised((done) => request.session.save(done))
    response.json(returned === request.session || returned === undefined)
  })
  app.get('/reload', async (request, response) => {
    const before = request.session
    sessionOf(request).lost = 1
    await promised((done) => request.session.reload(done))
    response.json({ isNew: before !== request.session, data: dataOf(request) })
  })
  app.get('/reload-new', async (request, response) => {
    sessionOf(request).kept = 1
    const reloaded = promised((done) => request.session.reload(done))
    const outcome = await reloaded.then(() => 'reloaded').catch(() => 'failed')
    await promised((done) => request.session.save(done))
    response.json([outcome, dataOf(request)])
  })
  app.get('/twice', (request, response) => {
    sessionOf(request).twice = true
    response.json('first')
    try {
      response.status(404).json('another response')
    } catch (error) {
      app.locals.failure = error
    }
  })
  app.get('/destroy', async (request, response) => {
    await promised((done) => request.session.destroy(done))
    response.json(request.session === undefined)
  })
  app.get('/regenerate', async (request, response) => {
    const before = request.sessionID
    await promised((done) => request.session.regenerate(done))
    sessionOf(request).renewed = true
    response.json([before, request.sessionID, request.session.id])
  })
  app.get('/unset', (request, response) => {
    delete (request as Partial<Request>).session
    response.json('unset')
  })
  app.get('/cookie', (request, response) => {
    const { maxAge, originalMaxAge, expires, path, httpOnly } = request.session.cookie
    response.json({ maxAge, originalMaxAge, expires, path, httpOnly })
  })
  app.get('/max-age/:ms', (request, response) => {
    request.session.cookie.maxAge = Number(request.params.ms)
    sessionOf(request).n = request.params.ms
    response.json('changed')
  })
}

/** express-session measures the age from the time of day, so that milliseconds are missing. */
function expectAbout(actual: unknown, ms: number): void {
  expect(actual).toBeGreaterThan(ms - 5_000)
  expect(actual).toBeLessThanOrEqual(ms)
}

const combinations = (Object.keys(frameworks) as FrameworkName[]).flatMap((framework) =>
  (Object.keys(middlewares) as MiddlewareName[]).map((name) => [framework, name] as const),
)

describe.each(combinations)('%s, %s', (framework, name) => {
  const isOwn = name !== 'express-session'
  const start = async (options: Options = {}, store: CacheStore = memory(), headers = {}) => {
    const app = await serve(name, store, options, routes, {}, framework)
    cleanups.push(app.stop)
    return { ...app, client: new Client(app.url, headers), other: new Client(app.url, headers) }
  }

  describe.each(
    Object.keys({ ...stores, Redis: 0, memcached: 0, ...(isFullTier && { PostgreSQL: 0 }) }),
  )('on %s', (driver) => {
    test('a session has its own data, survives requests, and ends', async () => {
      const { client, other } = await start({ cookie: { maxAge: minute } }, stores[driver]?.())
      expect((await client.get('/read')).setCookie).toBeUndefined()
      const first = await client.get('/set/name/ada')
      expect(first.setCookie).toMatch(/^connect\.sid=s%3A[\w-]{32}\.[\w%]+;/)
      await other.get('/set/name/bob')
      await client.get('/set/role/admin')
      expect((await client.get('/read')).body).toEqual({ name: 'ada', role: 'admin' })
      expect((await other.get('/read')).body).toEqual({ name: 'bob' })
      const { cookie } = client
      expect((await client.get('/destroy')).body).toBe(true)
      client.cookie = cookie
      expect((await client.get('/read')).body).toEqual({})
      expect((await other.get('/read')).body).toEqual({ name: 'bob' })
    })

    test('a new id keeps no data, and ends the old session', async () => {
      const { client } = await start({}, stores[driver]?.())
      await client.get('/set/name/ada')
      const { cookie } = client
      const [before, after, ofSession] = (await client.get('/regenerate')).body as string[]
      expect(before).not.toBe(after)
      expect(after).toBe(ofSession)
      expect((await client.get('/read')).body).toEqual({ renewed: true })
      client.cookie = cookie
      expect((await client.get('/read')).body).toEqual({})
    })
  })

  describe('the cookie', () => {
    test('is signed: with another signature, or none, the session is new', async () => {
      const { client } = await start()
      await client.get('/set/name/ada')
      const [cookieName, value = ''] = client.cookie.split('=')
      const id = decodeURIComponent(value).slice(2).split('.')[0]
      for (const wrong of [id, `s:${id}`, `s:${id}.`, `s:${id}.x`, `s:.x`, 's:', '%', '']) {
        client.cookie = `${cookieName}=${wrong === '%' ? '%' : encodeURIComponent(String(wrong))}`
        expect((await client.get('/read')).body, wrong).toEqual({})
      }
      client.cookie = `a=b; ${cookieName}=${value}; c="d"`
      expect((await client.get('/read')).body).toEqual({ name: 'ada' })
    })

    test('is signed with the first secret, and accepted with each of them', async () => {
      const store = memory()
      const first = await start({ secret: 'old' }, store)
      await first.client.get('/set/name/ada')
      const second = await start({ secret: ['new', 'old'], rolling: true }, store)
      second.client.cookie = first.client.cookie
      expect((await second.client.get('/read')).body).toEqual({ name: 'ada' })
      const third = await start({ secret: 'new' }, store)
      third.client.cookie = second.client.cookie
      expect((await third.client.get('/read')).body).toEqual({ name: 'ada' })
    })

    test('may be signed with bytes', async () => {
      const store = memory()
      const first = await start({ secret: 'old' }, store)
      await first.client.get('/set/name/ada')
      const second = await start({ secret: ['new', Buffer.from('old')] }, store)
      second.client.cookie = first.client.cookie
      expect((await second.client.get('/read')).body).toEqual({ name: 'ada' })
    })

    test('has the attributes of the options', async () => {
      const cookie = {
        maxAge: minute,
        domain: 'example.com',
        path: '/',
        httpOnly: false,
        sameSite: 'strict',
        priority: 'high',
      } as const
      const { client } = await start({ cookie, name: 'sid' })
      const earliest = Date.now() + minute
      const { setCookie } = await client.get('/set/a/1')
      const latest = Date.now() + minute
      expect(setCookie).toMatch(/^sid=s%3A/)
      const { expires, ...attributes } = attributesOf(setCookie)
      expect(attributes).toEqual({
        domain: 'example.com',
        path: '/',
        samesite: 'Strict',
        priority: 'High',
      })
      // In whole seconds.
      expect(Date.parse(String(expires))).toBeGreaterThan(earliest - 1_000)
      expect(Date.parse(String(expires))).toBeLessThan(latest + 1_000)
      const plain = await (await start()).client.get('/set/a/1')
      expect(attributesOf(plain.setCookie)).toEqual({ path: '/', httponly: true })
    })

    test('secure cookies are sent over HTTPS only', async () => {
      const https = { 'x-forwarded-proto': 'https, http' }
      for (const [options, headers, isSet] of [
        [{ cookie: { secure: true } }, {}, false],
        [{ cookie: { secure: true } }, https, false],
        [{ cookie: { secure: true }, proxy: true }, https, true],
        [{ cookie: { secure: true }, proxy: true }, {}, false],
        [{ cookie: { secure: true }, proxy: false }, https, false],
        [{ cookie: { secure: 'auto' }, proxy: true }, https, true],
        [{ cookie: { secure: 'auto' } }, {}, true],
      ] as [Options, Record<string, string>, boolean][]) {
        const { client } = await start(options, memory(), headers)
        const { setCookie } = await client.get('/set/a/1')
        expect(setCookie !== undefined, JSON.stringify([options, headers])).toBe(isSet)
        const isHttps = headers === https && options.proxy === true
        if (isSet) expect(attributesOf(setCookie).secure === true).toBe(isHttps)
      }
    })

    test('belongs to its path', async () => {
      const { client } = await start({ cookie: { path: '/admin' } })
      expect((await client.get('/untouched')).setCookie).toBeUndefined()
      expect((await client.get('/set/a/1')).status).toBe(503)
    })

    test('is set again if the session has changed, or in each response with rolling', async () => {
      for (const [rolling, maxAge, path, isSet] of [
        [false, minute, '/read', false],
        [false, minute, '/set/a/2', true],
        [false, null, '/set/a/2', false],
        [true, minute, '/read', true],
        [true, null, '/read', true],
      ] as const) {
        const { client } = await start({ rolling, cookie: { maxAge: maxAge as number } })
        await client.get('/set/a/1')
        const { setCookie } = await client.get(path)
        expect(setCookie !== undefined, `${rolling} ${maxAge} ${path}`).toBe(isSet)
      }
    })

    test('has the properties of that of express-session', async () => {
      const { client } = await start({ cookie: { maxAge: minute } })
      await client.get('/set/a/1')
      const readCookie = async () => (await client.get('/cookie')).body as Record<string, unknown>
      const cookie = await readCookie()
      expect(cookie).toMatchObject({ path: '/', httpOnly: true })
      expectAbout(cookie.originalMaxAge, minute)
      expectAbout(cookie.maxAge, minute)
      expect(Date.parse(String(cookie.expires))).toBeGreaterThan(Date.now())
      await client.get(`/max-age/${5 * minute}`)
      expectAbout((await readCookie()).originalMaxAge, 5 * minute)
    })
  })

  describe('new sessions', () => {
    test('are stored with saveUninitialized, or once they have data', async () => {
      for (const [saveUninitialized, path, count] of [
        [false, '/read', 0],
        [false, '/untouched', 0],
        [false, '/set/a/1', 1],
        [true, '/untouched', 1],
      ] as const) {
        const { client, store } = await start({ saveUninitialized })
        const { setCookie } = await client.get(path)
        expect(await store.sessions.keys(), path).toHaveLength(count)
        expect(setCookie !== undefined).toBe(count === 1)
      }
    })

    test('have an id of the application, which is that of the request as well', async () => {
      let ids = 0
      const { client } = await start({ genid: () => `${'x'.repeat(31)}${ids++}` })
      const { body } = await client.get('/id')
      expect(body).toEqual([`${'x'.repeat(31)}0`, `${'x'.repeat(31)}0`, 'object'])
    })

    test('replace a session that has ended', async () => {
      const { client, store } = await start()
      await client.get('/set/a/1')
      const { cookie } = client
      await store.sessions.clear()
      await client.get('/set/b/1')
      expect(client.cookie).not.toBe(cookie)
      expect((await client.get('/read')).body).toEqual({ b: '1' })
    })
  })

  describe('the methods of a session', () => {
    test('save stores at once, and returns', async () => {
      const { client } = await start()
      expect((await client.get('/save')).body).toBe(true)
      expect((await client.get('/read')).body).toEqual({ saved: 1 })
    })

    test('reload discards what has changed', async () => {
      const { client } = await start()
      await client.get('/set/a/1')
      expect((await client.get('/reload')).body).toEqual({ isNew: true, data: { a: '1' } })
      expect((await client.get('/read')).body).toEqual({ a: '1' })
      expect((await new Client((await start()).url).get('/reload')).status).toBe(503)
    })

    test('reload fails before a session is stored, and leaves it to the request', async () => {
      const { client } = await start()
      expect((await client.get('/reload-new')).body).toEqual(['failed', { kept: 1 }])
      expect((await client.get('/read')).body).toEqual({ kept: 1 })
    })

    test('deleting the session ends it with unset: destroy only', async () => {
      for (const [unset, data] of [
        ['keep', { a: '1' }],
        ['destroy', {}],
      ] as const) {
        const { client } = await start({ unset })
        await client.get('/set/a/1')
        const { cookie } = client
        await client.get('/unset')
        client.cookie = cookie
        expect((await client.get('/read')).body, unset).toEqual(data)
      }
    })
  })

  describe('resave', () => {
    test.each([true, false])('%s does not overwrite what others have changed', async (resave) => {
      const { client, store } = await start({ resave })
      await client.get('/set/a/1')
      const [key] = (await store.sessions.keys()) as [string]
      const before = await store.sessions.cache.get(key)
      await client.get('/read')
      expect(await store.sessions.cache.get(key)).toEqual(before)
    })
  })

  describe('responses', () => {
    test('a redirect leads to the stored session', async () => {
      const { client } = await start()
      expect((await client.get('/redirect')).status).toBe(302)
      expect((await client.get('/read')).body).toEqual({ redirected: true })
    })

    test('streams and explicit headers are sent unchanged', async () => {
      const { client } = await start()
      expect((await client.get('/stream')).text).toBe('first,second,last')
      expect((await client.get('/head')).text).toBe('written')
      expect((await client.get('/read')).body).toEqual({ streamed: true, head: true })
    })
  })

  describe('a second response', () => {
    test('fails as without a session, and the first one is complete', async () => {
      const { client, app } = await start()
      expect(await client.get('/twice')).toMatchObject({ status: 200, body: 'first' })
      expect(app.locals.failure).toMatchObject({ code: 'ERR_HTTP_HEADERS_SENT' })
      expect((await client.get('/read')).body).toEqual({ twice: true })
    })
  })

  describe('failures of the store', () => {
    const failing = (operations: readonly string[]) =>
      wrapStore(memory(), (operation, call) => {
        if (!operations.includes(operation)) return call()
        throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down')
      })

    test('a read that fails reaches the error handler', async () => {
      const store = failing([])
      const { client } = await start({}, store)
      await client.get('/set/a/1')
      const broken = await start({}, failing(['get']))
      broken.client.cookie = client.cookie
      expect(await broken.client.get('/read')).toMatchObject({
        status: 503,
        body: { error: 'down' },
      })
    })

    test('a write that fails is not answered with success and a lost session', async () => {
      if (!isOwn) return
      const { client } = await start({}, failing(['add', 'compareAndSet']))
      for (const path of ['/set/a/1', '/redirect', '/stream', '/head', '/save']) {
        const reply = await client.get(path)
        expect(reply, path).toMatchObject({ status: 503, body: { error: 'down' } })
        expect(reply.setCookie).toBeUndefined()
      }
    })
  })
})
