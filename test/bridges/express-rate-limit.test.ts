import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { rateLimitStore } from '@stowage/bridges/express-rate-limit'
import { Cache, CacheError } from '@stowage/core'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import express from 'express'
import { type Options, rateLimit } from 'express-rate-limit'
import { type Context, Hono } from 'hono'
import { rateLimiter } from 'hono-rate-limiter'
import { describe, expect, onTestFinished, test } from 'vitest'
import { backends, recorded, unreachable } from './backends.ts'

const hour = 3_600_000

/** An application of Express that permits three requests. Returns its replies to the number of requests. */
async function start(cache: Cache, options: Partial<Options> = {}) {
  const app = express()
  const store = rateLimitStore(cache, 'api')
  app.use(rateLimit({ windowMs: hour, limit: 3, standardHeaders: 'draft-8', store, ...options }))
  app.get('/', (_, response) => void response.send('served'))
  app.use((_error: unknown, _: unknown, response: express.Response, _next: unknown) => {
    response.status(503).end()
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  return {
    store,
    get: (count: number) => Promise.all(Array.from({ length: count }, () => fetch(url))),
  }
}

const statuses = (replies: readonly Response[]) => replies.map(({ status }) => status).sort()

describe.each(backends)('express-rate-limit on $name', (backend) => {
  const createStore = backend.use()
  const createCache = () => new Cache(createStore(), { prefix: `limit${crypto.randomUUID()}:` })

  test('two processes permit exactly the limit', async () => {
    const cache = createCache()
    const [first, second] = [await start(cache), await start(cache)]
    const replies = await Promise.all([first.get(5), second.get(5)])
    expect(statuses(replies.flat())).toEqual([...Array(3).fill(200), ...Array(7).fill(429)])
    const denied = replies.flat().find(({ status }) => status === 429)
    expect(denied?.headers.get('ratelimit')).toMatch(/r=0; t=\d+/)
    expect(Number(denied?.headers.get('retry-after'))).toBeGreaterThan(0)
    const hits = await first.store.get('127.0.0.1')
    expect(hits?.totalHits).toBe(10)
    await first.store.resetKey('127.0.0.1')
    expect(await first.store.get('127.0.0.1')).toBeUndefined()
    expect(statuses(await first.get(4))).toEqual([200, 200, 200, 429])
  })
})

test('a request is one command', async () => {
  const { store, calls } = recorded()
  const { get } = await start(new Cache(store))
  await get(1)
  const before = calls.length
  await get(1)
  expect(calls.slice(before).map(([name]) => name)).toEqual(['increment'])
})

test('a hit that is taken back after its window leaves no negative counter', async () => {
  const clock = new ManualClock()
  const store = rateLimitStore(new Cache(memory({ clock }), { clock }), 'login')
  store.init({ windowMs: 1_000 })
  expect((await store.increment('ada')).totalHits).toBe(1)
  await store.decrement('ada')
  expect(await store.get('ada')).toBeUndefined()
  await store.increment('ada')
  await clock.advance(5_000)
  await store.decrement('ada')
  const { totalHits, resetTime } = await store.increment('ada')
  expect(totalHits).toBe(1)
  expect(resetTime.getTime() - clock.now()).toBeLessThanOrEqual(1_000)
})

test('the windows of clients do not end at the same time', async () => {
  const clock = new ManualClock()
  const store = rateLimitStore(new Cache(memory({ clock }), { clock }), 'api')
  store.init({ windowMs: hour })
  const clients = Array.from({ length: 50 }, (_, index) => `10.0.0.${index}`)
  const hits = await Promise.all(clients.map((client) => store.increment(client)))
  const ends = new Set(hits.map(({ resetTime }) => resetTime.getTime()))
  expect(ends.size).toBeGreaterThan(40)
})

test('limiters with other names count separately', async () => {
  const cache = new Cache(memory())
  const [login, api] = [rateLimitStore(cache, 'login'), rateLimitStore(cache, 'api')]
  for (const store of [login, api]) store.init({ windowMs: hour })
  await login.increment('ada')
  expect((await api.increment('ada')).totalHits).toBe(1)
})

test('the application decides what an unreachable backend means', async () => {
  const cache = new Cache(unreachable())
  expect(statuses(await (await start(cache)).get(1))).toEqual([503])
  const lenient = await start(cache, { passOnStoreError: true, logger: silent })
  expect(statuses(await lenient.get(1))).toEqual([200])
  await expect(lenient.store.increment('ada')).rejects.toSatisfy(CacheError.is)
})

const silent = { error() {}, warn() {} } as never

test('a store without a limiter says what to do', async () => {
  const store = rateLimitStore(new Cache(memory()), 'api')
  await expect(store.increment('ada')).rejects.toThrow('Pass it to rateLimit({ store })')
})

test('requests without the header that a limiter counts by count together', async () => {
  const app = new Hono()
  const store = rateLimitStore(new Cache(memory()), 'api')
  const keyGenerator = (context: Context) => context.req.header('x-forwarded-for') ?? ''
  app.use(rateLimiter({ windowMs: hour, limit: 1, keyGenerator, store }))
  app.get('/', (context) => context.text('served'))
  const from = (address: string) => ({ headers: { 'x-forwarded-for': address } })
  const requests = [{}, from(''), from('-'), from('-'), from('10.0.0.1'), {}]
  const replies = await Promise.all(requests.map((request) => app.request('/', request)))
  expect(replies.map(({ status }) => status)).toEqual([200, 429, 200, 429, 200, 429])
})

test('accepts numbers as keys', async () => {
  // Of a number, the library makes no header of draft 8.
  const options = { keyGenerator: () => 7 as never, standardHeaders: false }
  const { get } = await start(new Cache(memory()), options)
  expect(statuses(await get(4))).toEqual([200, 200, 200, 429])
})

test('the same store serves hono-rate-limiter', async () => {
  const app = new Hono()
  const store = rateLimitStore(new Cache(memory()), 'api')
  app.use(rateLimiter({ windowMs: hour, limit: 2, keyGenerator: () => 'ada', store }))
  app.get('/', (context) => context.text('served'))
  const replies = await Promise.all(Array.from({ length: 3 }, () => app.request('/')))
  expect(statuses(replies)).toEqual([200, 200, 429])
})
