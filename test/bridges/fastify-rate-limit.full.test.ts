import rateLimit, { type RateLimitPluginOptions } from '@fastify/rate-limit'
import { fastifyRateLimitStore } from '@stowage/bridges/fastify-rate-limit'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import fastify, { type FastifyInstance } from 'fastify'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { backends, recorded, unreachable } from './backends.ts'

const hour = 3_600_000

/** An application that permits three requests to `/`, and two to each of `/a` and `/b`. */
async function start(cache: Cache, options: RateLimitPluginOptions = {}) {
  const app = fastify()
  onTestFinished(() => app.close())
  const store = fastifyRateLimitStore(cache, 'api')
  await app.register(rateLimit, { max: 3, timeWindow: hour, store, ...options })
  app.get('/', async () => 'served')
  const route = { config: { rateLimit: { max: 2, timeWindow: hour } } }
  app.get('/a', route, async () => 'served')
  app.get('/b', route, async () => 'served')
  await app.ready()
  return app
}

async function statuses(app: FastifyInstance, count: number, url = '/'): Promise<number[]> {
  const replies = await Promise.all(Array.from({ length: count }, () => app.inject(url)))
  return replies.map(({ statusCode }) => statusCode).sort()
}

function withClock() {
  const clock = new ManualClock()
  return { clock, cache: new Cache(memory({ clock }), { clock }) }
}

describe.each(backends)('@fastify/rate-limit on $name', (backend) => {
  const createStore = backend.use()
  const createCache = () => new Cache(createStore(), { prefix: `limit${crypto.randomUUID()}:` })

  test('two processes permit exactly the limit', async () => {
    const cache = createCache()
    const [first, second] = [await start(cache), await start(cache)]
    const all = await Promise.all([statuses(first, 5), statuses(second, 5)])
    expect(all.flat().sort()).toEqual([...Array(3).fill(200), ...Array(7).fill(429)])
    const { headers } = await first.inject('/')
    expect(headers['x-ratelimit-limit']).toBe('3')
    expect(Number(headers['retry-after'])).toBeGreaterThan(0)
    expect(Number(headers['retry-after'])).toBeLessThanOrEqual(3_600)
  })

  test.each([{ continueExceeding: true }, { exponentialBackoff: true }])(
    'two processes permit exactly the limit with %o',
    async (options) => {
      const cache = createCache()
      const [first, second] = [await start(cache, options), await start(cache, options)]
      const all = await Promise.all([statuses(first, 5), statuses(second, 5)])
      expect(all.flat().sort()).toEqual([...Array(3).fill(200), ...Array(7).fill(429)])
      expect(await statuses(first, 1)).toEqual([429])
    },
  )
})

test('routes with options of their own count separately, and those of a group together', async () => {
  const app = await start(new Cache(memory()))
  expect(await statuses(app, 3, '/a')).toEqual([200, 200, 429])
  expect(await statuses(app, 3, '/b')).toEqual([200, 200, 429])
  expect(await statuses(app, 4)).toEqual([200, 200, 200, 429])
  const grouped = fastify()
  onTestFinished(() => grouped.close())
  await grouped.register(rateLimit, {
    store: fastifyRateLimitStore(new Cache(memory()), 'api'),
    global: false,
  })
  const route = { config: { rateLimit: { max: 2, timeWindow: hour, groupId: 'login' } } }
  grouped.get('/password', route, async () => 'served')
  grouped.post('/passkey', route, async () => 'served')
  expect(await statuses(grouped, 2, '/password')).toEqual([200, 200])
  expect((await grouped.inject({ method: 'POST', url: '/passkey' })).statusCode).toBe(429)
})

test.each([7, ''])('accepts %o as a key', async (key) => {
  const app = await start(new Cache(memory()), { keyGenerator: () => key })
  expect(await statuses(app, 4)).toEqual([200, 200, 200, 429])
})

test('a request is one command', async () => {
  const { store, calls } = recorded()
  const app = await start(new Cache(store))
  await statuses(app, 1)
  const before = calls.length
  await statuses(app, 1)
  expect(calls.slice(before).map(([name]) => name)).toEqual(['increment'])
})

test('headers tell when the window ends, in seconds', async () => {
  const { clock, cache } = withClock()
  const app = await start(cache)
  const reset = async () => Number((await app.inject('/')).headers['x-ratelimit-reset'])
  const before = await reset()
  await clock.advance(5_000)
  expect(await reset()).toBe(before - 5)
})

/** Counts in the fixed window of the cache, whatever the options are. */
class Naive {
  readonly #limiter: ReturnType<Cache['rateLimit']>

  constructor(cache: Cache) {
    this.#limiter = cache.rateLimit('naive', { limit: 2 ** 40, window: 10_000 })
  }

  async incr(key: string, callback: (error: null, hits: { current: number; ttl: number }) => void) {
    const { remaining, resetAt } = await this.#limiter.consume(key)
    callback(null, { current: 2 ** 40 - remaining, ttl: resetAt })
  }

  child() {
    return this
  }
}

const naive = (cache: Cache) =>
  class extends Naive {
    constructor() {
      super(cache)
    }
  }

describe('a client above the limit', () => {
  const create = async (options: RateLimitPluginOptions, isNaive = false) => {
    const { clock, cache } = withClock()
    const store = isNaive ? naive(cache) : fastifyRateLimitStore(cache, 'api')
    const app = await start(cache, { ...options, timeWindow: 10_000, store })
    const status = async () => (await app.inject('/')).statusCode
    return { clock, app, status }
  }

  test.each([
    { name: 'a naive store', isNaive: true, status: 200 },
    { name: 'the bridge', isNaive: false, status: 429 },
  ])('stays there with continueExceeding, for $name: $status', async ({ isNaive, status }) => {
    const host = await create({ continueExceeding: true }, isNaive)
    for (let count = 0; count < 4; count++) await host.status()
    for (let count = 0; count < 4; count++) {
      await host.clock.advance(6_000)
      const last = await host.status()
      if (count === 3) expect(last).toBe(status)
    }
    await host.clock.advance(10_001)
    expect(await host.status()).toBe(200)
  })

  test('waits twice as long after each request with exponentialBackoff, at most a year', async () => {
    const { clock, app, status } = await create({ exponentialBackoff: true })
    for (let count = 0; count < 3; count++) await status()
    const waits: number[] = []
    for (let count = 0; count < 4; count++) {
      waits.push(Number((await app.inject('/')).headers['retry-after']))
    }
    expect(waits).toEqual([10, 20, 40, 80])
    await clock.advance(79_000)
    expect(Number((await app.inject('/')).headers['retry-after'])).toBe(160)
    await clock.advance(160_001)
    expect(await status()).toBe(200)
    for (let count = 0; count < 60; count++) await status()
    expect(Number((await app.inject('/')).headers['retry-after'])).toBe(365 * 86_400)
  })

  test.each([{}, { continueExceeding: true }])('is banned with %o', async (options) => {
    const banned: string[] = []
    const onBanReach = (_: unknown, key: string) => void banned.push(key)
    const { app } = await create({ ban: 1, onBanReach, ...options })
    expect(await statuses(app, 6)).toEqual([200, 200, 200, 403, 403, 429])
    expect(banned).toEqual(['127.0.0.1', '127.0.0.1'])
  })
})

describe('read', () => {
  test('counts nothing, and knows when the count ends', async () => {
    const { clock, cache } = withClock()
    const app = fastify()
    onTestFinished(() => app.close())
    const store = fastifyRateLimitStore(cache, 'login')
    await app.register(rateLimit, { store, global: false, continueExceeding: true })
    const limit = app.createRateLimit({ max: 2, timeWindow: 10_000 })
    app.get('/peek', (request) => limit(request, { increment: false }))
    app.get('/login', (request) => limit(request))
    const get = async (url: string) => (await app.inject(url)).json()
    expect(await get('/peek')).toMatchObject({ remaining: 2, ttl: 0, isExceeded: false })
    await get('/login')
    expect(await get('/peek')).toMatchObject({ remaining: 1, isExceeded: false })
    for (let count = 0; count < 3; count++) await get('/login')
    expect(await get('/peek')).toMatchObject({ remaining: 0, ttl: 10_000, isExceeded: true })
    await clock.advance(4_000)
    expect(await get('/peek')).toMatchObject({ ttl: 6_000, isExceeded: true })
    await clock.advance(6_001)
    expect(await get('/peek')).toMatchObject({ remaining: 2, ttl: 0, isExceeded: false })
  })
})

test('the application decides what an unreachable backend means', async () => {
  expect(await statuses(await start(new Cache(unreachable())), 1)).toEqual([500])
  const lenient = await start(new Cache(unreachable()), { skipOnError: true })
  expect(await statuses(lenient, 1)).toEqual([200])
})

test('a window that differs with each request has a limiter each time, and the last hundred are kept', async () => {
  const cache = new Cache(memory())
  const rateLimit = vi.spyOn(cache, 'rateLimit')
  const store = new (fastifyRateLimitStore(cache, 'api'))({})
  const hits = (window: number) =>
    new Promise((resolve) => {
      store.incr('key', (_error, result) => resolve(result?.current), window, 5)
    })
  for (let count = 0; count <= 100; count++) expect(await hits(hour + count)).toBe(1)
  expect([await hits(hour), rateLimit.mock.calls.length]).toEqual([2, 102])
})
