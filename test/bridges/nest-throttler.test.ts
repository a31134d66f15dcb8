import 'reflect-metadata'
import { Controller, Get, Module } from '@nestjs/common'
import { APP_GUARD, NestFactory } from '@nestjs/core'
import { ThrottlerGuard, ThrottlerModule } from '@nestjs/throttler'
import { throttlerStorage } from '@stowage/bridges/nest-throttler'
import { Cache, CacheError } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { Deferred } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { backends, recorded, unreachable } from './backends.ts'

const hour = 3_600_000

/** An application of Nest that permits five requests. */
async function start(cache: Cache) {
  class Pages {
    hello() {
      return 'hello'
    }
  }
  Controller()(Pages)
  const descriptor = Object.getOwnPropertyDescriptor(Pages.prototype, 'hello') as never
  Get()(Pages.prototype, 'hello', descriptor)
  class App {}
  const throttlers = [{ ttl: hour, limit: 5 }]
  Module({
    imports: [ThrottlerModule.forRoot({ throttlers, storage: throttlerStorage(cache) })],
    controllers: [Pages],
    providers: [{ provide: APP_GUARD, useClass: ThrottlerGuard }],
  })(App)
  const app = await NestFactory.create(App, { logger: false })
  await app.listen(0, '127.0.0.1')
  onTestFinished(() => app.close())
  const url = await app.getUrl()
  return (count: number) => Promise.all(Array.from({ length: count }, () => fetch(url)))
}

describe.each(backends)('the throttler of Nest on $name', (backend) => {
  const createStore = backend.use()

  test('two processes permit exactly the limit', async () => {
    const cache = new Cache(createStore(), { prefix: `throttle${crypto.randomUUID()}:` })
    const [first, second] = [await start(cache), await start(cache)]
    const replies = (await Promise.all([first(10), second(10)])).flat()
    const permitted = replies.filter(({ status }) => status === 200)
    const denied = replies.filter(({ status }) => status === 429)
    expect([permitted.length, denied.length]).toEqual([5, 15])
    for (const { headers } of denied) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0)
    expect(permitted[0]?.headers.get('x-ratelimit-limit')).toBe('5')
  })
})

describe('a block', () => {
  const create = () => {
    const clock = new ManualClock()
    const storage = throttlerStorage(new Cache(memory({ clock }), { clock }))
    const hit = (blockMs: number, name = 'default') =>
      storage.increment('ada', 10_000, 2, blockMs, name)
    return { clock, hit }
  }

  test('lasts as long as it says, in seconds, and the client then starts at zero', async () => {
    const { clock, hit } = create()
    const records = [await hit(60_000), await hit(60_000), await hit(60_000)]
    expect(records.map(({ totalHits, isBlocked }) => [totalHits, isBlocked])).toEqual([
      [1, false],
      [2, false],
      [3, true],
    ])
    expect(records[2]?.timeToBlockExpire).toBe(60)
    await clock.advance(59_000)
    expect(await hit(60_000)).toMatchObject({ isBlocked: true, timeToBlockExpire: 1 })
    await clock.advance(1_001)
    expect(await hit(60_000)).toMatchObject({ totalHits: 1, isBlocked: false })
  })

  test('shorter than the window ends before it', async () => {
    const { clock, hit } = create()
    for (let count = 0; count < 3; count++) await hit(1_000)
    await clock.advance(1_001)
    expect(await hit(1_000)).toMatchObject({ totalHits: 1, isBlocked: false })
  })

  test('of duration 0 lasts until the window ends', async () => {
    const { clock, hit } = create()
    for (let count = 0; count < 3; count++) await hit(0)
    expect(await hit(0)).toMatchObject({ isBlocked: true, totalHits: 4 })
    await clock.advance(10_001)
    expect(await hit(0)).toMatchObject({ isBlocked: false, totalHits: 1 })
  })

  test('applies to one throttler', async () => {
    const { hit } = create()
    for (let count = 0; count < 3; count++) await hit(60_000)
    expect(await hit(60_000, 'other')).toMatchObject({ totalHits: 1, isBlocked: false })
  })
})

test('clients with an empty key count together', async () => {
  const storage = throttlerStorage(new Cache(memory()))
  const hits = () => storage.increment('', hour, 1, 0, 'default')
  expect([await hits(), await hits()]).toMatchObject([{ isBlocked: false }, { isBlocked: true }])
})

test('a request that is counted when the block has begun is denied as well', async () => {
  const gate = new Deferred<void>()
  let isHeld = false
  const { store } = recorded()
  const held = wrapStore(store, async (operation, call) => {
    if (operation === 'increment' && isHeld) await gate.promise
    return call()
  })
  const cache = new Cache(store)
  const [fast, slow] = [throttlerStorage(cache), throttlerStorage(new Cache(held))]
  await fast.increment('ada', hour, 1, hour, 'default')
  isHeld = true
  const waiting = slow.increment('ada', hour, 1, hour, 'default')
  expect(await fast.increment('ada', hour, 1, hour, 'default')).toMatchObject({ isBlocked: true })
  gate.resolve()
  expect(await waiting).toMatchObject({ isBlocked: true })
})

test('a blocked client costs one read, and is not counted', async () => {
  const { store, calls } = recorded()
  const storage = throttlerStorage(new Cache(store))
  for (let count = 0; count < 2; count++) await storage.increment('ada', hour, 1, hour, 'default')
  const before = calls.length
  await storage.increment('ada', hour, 1, hour, 'default')
  expect(calls.slice(before).map(([name]) => name)).toEqual(['get'])
})

test('rejects with the error of the backend', async () => {
  const storage = throttlerStorage(new Cache(unreachable()))
  await expect(storage.increment('ada', hour, 1, hour, 'a')).rejects.toSatisfy(CacheError.is)
})

test('a ttl that differs with each hit has a limiter each time, and the last hundred are kept', async () => {
  const cache = new Cache(memory())
  const rateLimit = vi.spyOn(cache, 'rateLimit')
  const storage = throttlerStorage(cache)
  const hit = (ttl: number) => storage.increment('key', ttl, 5, 0, 'default')
  for (let count = 0; count <= 100; count++) {
    expect((await hit(hour + count)).totalHits).toBe(1)
  }
  expect([(await hit(hour)).totalHits, rateLimit.mock.calls.length]).toEqual([2, 102])
})
