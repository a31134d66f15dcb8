import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Cache, CacheError, type CacheStore } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { Deferred } from '@stowage/core/internal'
import { type LimitOptions, limit, limitHook } from '@stowage/express/limit'
import { responseCache } from '@stowage/http-cache'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import express, { type Request } from 'express'
import fastify, { type FastifyRequest } from 'fastify'
import { describe, expect, onTestFinished, test } from 'vitest'

type Options = Partial<LimitOptions<{ headers: NodeJS.Dict<string | string[]> }>>
type Get = (headers?: Record<string, string>) => Promise<Response>

async function listen(listener: RequestListener): Promise<Get> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  return (headers = {}) => fetch(`http://127.0.0.1:${port}/`, { headers })
}

/** The same application in both frameworks, behind a proxy. It replies with 503 to a failure of the store. */
const hosts: Record<string, (...options: Options[]) => Promise<Get>> = {
  async Express(...options) {
    const app = express()
    app.set('trust proxy', true)
    for (const each of options) app.use(limit<Request>(complete(each)))
    app.get('/', (_, response) => void response.send('served'))
    app.use((_error: unknown, _: unknown, response: express.Response, _next: unknown) => {
      response.status(503).end()
    })
    return listen(app)
  },
  async Fastify(...options) {
    const app = fastify({ trustProxy: true })
    onTestFinished(() => app.close())
    for (const each of options) app.addHook('onRequest', limitHook<FastifyRequest>(complete(each)))
    app.setErrorHandler(async (error: { statusCode?: number }, _, reply) => {
      reply.code(error.statusCode ?? 503).send()
    })
    app.get('/', async () => 'served')
    await app.ready()
    return listen(app.routing as RequestListener)
  },
}

/** On the system clock, a window could end between two requests. */
function timed(): { cache: Cache; clock: ManualClock } {
  const clock = new ManualClock()
  return { clock, cache: new Cache(memory({ clock }), { clock }) }
}

function complete(options: Options) {
  return { cache: timed().cache, name: 'api', limit: 2, window: 60_000, ...options }
}

const statuses = async (get: Get, ...headers: Record<string, string>[]) => {
  const all: number[] = []
  for (const each of headers) all.push((await get(each)).status)
  return all
}

describe.each(Object.keys(hosts))('limit in %s', (name) => {
  const start = hosts[name] as (...options: Options[]) => Promise<Get>

  test('replies with 429, and says when to retry', async () => {
    const { cache, clock } = timed()
    const get = await start({ cache })
    const first = await get()
    expect(first.headers.get('ratelimit-policy')).toBe('"api";q=2;w=60')
    const [, seconds] = /^"api";r=1;t=(\d+)$/.exec(first.headers.get('ratelimit') ?? '') ?? []
    expect(Number(seconds)).toBeGreaterThan(0)
    expect(first.headers.get('retry-after')).toBeNull()
    await get()
    const denied = await get()
    expect(denied.status).toBe(429)
    expect(denied.headers.get('ratelimit')).toBe(`"api";r=0;t=${seconds}`)
    expect(denied.headers.get('retry-after')).toBe(seconds)
    await clock.advance(Number(seconds) * 1_000)
    expect((await get()).status).toBe(200)
  })

  test('counts clients separately, but not the addresses of one IPv6 network', async () => {
    const get = await start({ limit: 1 })
    const from = (address: string) => ({ 'x-forwarded-for': address })
    const addresses = ['10.0.0.1', '10.0.0.2', '::ffff:10.0.0.1', '2001:db8::1', '2001:db8::2']
    const others = ['2001:db8:0:0:ff::3', '2001:db8:0:1::1', '::1', '2001:0db8:0000:0001:a:b:c:d']
    expect(await statuses(get, ...[...addresses, ...others].map(from))).toEqual([
      ...[200, 200, 429, 200, 429],
      ...[429, 200, 200, 429],
    ])
  })

  test('counts an IPv4 address as such, in whatever way an IPv6 address maps it', async () => {
    const get = await start({ limit: 1 })
    const mapped = ['::ffff:a00:1', '0:0:0:0:0:FFFF:10.0.0.1', '[::ffff:10.0.0.1]:4001', '10.0.0.1']
    const from = (address: string) => ({ 'x-forwarded-for': address })
    const others = ['::ffff:a00:2', '::ffff:c0a8:101', '192.168.1.1', '::fffe:a00:1', '::1']
    expect(await statuses(get, ...[...mapped, ...others].map(from))).toEqual([
      ...[200, 429, 429, 429],
      ...[200, 200, 429, 200, 429],
    ])
  })

  test('counts the connections of a client together if the proxy forwards their ports', async () => {
    const get = await start({ limit: 1 })
    const addresses = ['10.0.0.1:4001', '10.0.0.1:4002', '10.0.0.1', '[2001:db8::1]:4001']
    const others = ['[2001:db8::2]:4002', '[2001:db8::1]', '2001:db8::1', '10.0.0.2:4001']
    const from = (address: string) => ({ 'x-forwarded-for': address })
    expect(await statuses(get, ...[...addresses, ...others].map(from))).toEqual([
      ...[200, 429, 429, 200],
      ...[429, 429, 429, 200],
    ])
  })

  test('counts by the key, and lets requests without one pass', async () => {
    const key: Options['key'] = async ({ headers }) => headers['x-user'] as string | undefined
    const get = await start({ limit: 1, key })
    expect(await statuses(get, { 'x-user': '' }, { 'x-user': '' })).toEqual([200, 429])
    const [ada, bob] = [{ 'x-user': 'ada' }, { 'x-user': 'bob' }]
    expect(await statuses(get, ada, ada, bob, {}, {})).toEqual([200, 429, 200, 200, 200])
    expect((await get()).headers.get('ratelimit')).toBeNull()
  })

  test('several limits are a list in the headers', async () => {
    const burst = { name: 'burst', limit: 9, window: 1_000, policy: 'bucket' } as const
    const get = await start({}, burst)
    const { headers } = await get()
    expect(headers.get('ratelimit-policy')).toBe('"api";q=2;w=60, "burst";q=9;w=1')
    expect(headers.get('ratelimit')).toMatch(/^"api";r=1;t=\d+, "burst";r=8;t=1$/)
  })

  test('onError decides what a failure of the store means', async () => {
    const outage = new CacheError('ERR_CACHE_UNAVAILABLE', 'connection lost')
    const store: CacheStore = wrapStore(memory(), (operation, call) => {
      if (operation === 'increment') throw outage
      return call()
    })
    const cache = new Cache(store)
    const outcomes = ['throw', 'allow', 'deny'] as const
    const replies = outcomes.map(async (onError) => (await start({ cache, onError }))())
    expect((await Promise.all(replies)).map(({ status }) => status)).toEqual([503, 200, 429])
  })
})

test('does not respond twice if a timeout has responded meanwhile', async () => {
  const gate = new Deferred<void>()
  const store = wrapStore(memory(), async (operation, call) => {
    if (operation === 'increment') await gate.promise
    return call()
  })
  const middleware = limit({ cache: new Cache(store), name: 'api', limit: 1, window: 60_000 })
  let passed = 0
  const get = await listen((request, response) => {
    middleware(request, response, () => void passed++)
    response.writeHead(503).end()
  })
  expect((await get()).status).toBe(503)
  gate.resolve()
  await new Promise(setImmediate)
  expect(passed).toBe(0)
})

test('a cached response has the headers of its own request', async () => {
  const { cache } = timed()
  const app = express()
  app.use(limit({ cache, name: 'api', limit: 9, window: 60_000 }))
  app.use(responseCache({ cache, ttl: 60_000 }))
  app.get('/', (_, response) => void response.send('served'))
  const get = await listen(app)
  const remaining = async () => /r=\d/.exec((await get()).headers.get('ratelimit') ?? '')?.[0]
  expect([await remaining(), await remaining()]).toEqual(['r=8', 'r=7'])
})

test('refuses a name that a header cannot contain, and requests without an address', async () => {
  const cache = new Cache(memory())
  expect(() => limit({ cache, name: 'a"b', limit: 1, window: 60_000 })).toThrow('printable ASCII')
  const middleware = limit({ cache, name: 'api', limit: 1, window: 60_000 })
  const error = await new Promise((resolve) =>
    middleware({ socket: {} } as never, {} as never, resolve),
  )
  expect(String(error)).toContain('Use the option key')
})
