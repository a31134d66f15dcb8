import { rateLimiterClient } from '@stowage/bridges/rate-limiter-flexible'
import { Cache, CacheError } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { RateLimiterMemcache, type RateLimiterRes } from 'rate-limiter-flexible'
import { describe, expect, test } from 'vitest'
import { backends, recorded, unreachable } from './backends.ts'

const limit = (cache: Cache, duration = 3_600, points = 5) =>
  new RateLimiterMemcache({ storeClient: rateLimiterClient(cache), points, duration })

/** The number of calls that were permitted. */
async function permitted(...calls: Promise<RateLimiterRes>[]): Promise<number> {
  const outcomes = await Promise.allSettled(calls)
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).not.toBeInstanceOf(Error)
  }
  return outcomes.filter(({ status }) => status === 'fulfilled').length
}

describe.each(backends)('rate-limiter-flexible on $name', (backend) => {
  const createStore = backend.use()
  const createCache = () => new Cache(createStore(), { prefix: `limit${crypto.randomUUID()}:` })

  test('two processes permit exactly the limit', async () => {
    const cache = createCache()
    const [first, second] = [limit(cache), limit(cache)]
    const calls = Array.from({ length: 10 }, (_, index) =>
      (index % 2 ? first : second).consume('ada'),
    )
    expect(await permitted(...calls)).toBe(5)
    expect((await first.get('ada'))?.consumedPoints).toBe(10)
    expect((await first.get('ada'))?.msBeforeNext).toBeGreaterThan(3_500_000)
  })

  test('rewards, penalises, blocks, sets and deletes', async () => {
    const limiter = limit(createCache())
    expect(await limiter.get('ada')).toBeNull()
    await limiter.consume('ada', 2)
    expect((await limiter.penalty('ada', 3)).consumedPoints).toBe(5)
    expect((await limiter.reward('ada', 4)).consumedPoints).toBe(1)
    await limiter.block('ada', 60)
    await expect(limiter.consume('ada')).rejects.toMatchObject({ remainingPoints: 0 })
    await limiter.set('ada', 4, 60)
    expect((await limiter.consume('ada')).remainingPoints).toBe(0)
    expect(await limiter.delete('ada')).toBe(true)
    expect(await limiter.delete('ada')).toBe(false)
    expect((await limiter.consume('ada')).remainingPoints).toBe(4)
  })

  test('a reward before the first point lets more through', async () => {
    const limiter = limit(createCache())
    await limiter.consume('ada')
    await limiter.reward('ada', 3)
    expect(await permitted(...Array.from({ length: 10 }, () => limiter.consume('ada')))).toBe(7)
  })
})

test('a window ends', async () => {
  const { store, calls } = recorded()
  const limiter = limit(new Cache(store), 60)
  await limiter.consume('ada')
  const ttls = calls.filter(([name]) => name === 'add').map(([, args]) => args[2])
  expect(ttls).toEqual([60_000, 60_000])
})

test('a duration of 0 never ends, and a miss is not an end that never comes', async () => {
  const limiter = limit(new Cache(memory()), 0, 2)
  expect(await permitted(limiter.consume('ada'), limiter.consume('ada'))).toBe(2)
  expect(await permitted(limiter.consume('ada'))).toBe(0)
  const cache = new Cache(memory())
  const storeClient = rateLimiterClient(cache)
  const timed = new RateLimiterMemcache({ storeClient, points: 2, duration: 60 })
  await timed.consume('ada')
  await cache.namespace('rate-limiter-flexible').delete('rlflx:ada_expire')
  expect((await timed.get('ada'))?.msBeforeNext).toBe(0)
})

/** Increments without a look at whether the counter exists. */
function naive(cache: Cache) {
  const client = rateLimiterClient(cache)
  const counters = cache.namespace('rate-limiter-flexible')
  return Object.assign(Object.create(client), {
    get: client.get.bind(client),
    add: client.add.bind(client),
    incr: (key: string, by: number, callback: (error: null, sum: number) => void) =>
      counters.increment(key, by).then((sum) => callback(null, sum)),
  })
}

test.each([
  { name: 'a naive client', create: naive, blocked: true },
  { name: 'the bridge', create: rateLimiterClient, blocked: false },
])('a client of $name is blocked for ever: $blocked', async ({ create, blocked }) => {
  const clock = new ManualClock()
  const storeClient = create(new Cache(memory({ clock }), { clock }))
  const limiter = new RateLimiterMemcache({ storeClient, points: 1, duration: 60 })
  expect(await permitted(limiter.consume('ada'))).toBe(1)
  await clock.advance(60_001)
  expect(await permitted(limiter.consume('ada'))).toBe(blocked ? 0 : 1)
})

test('a counter that expires while it is read ends within a second', async () => {
  const clock = new ManualClock()
  let isRead = false
  const store = wrapStore(memory({ clock }), async (operation, next) => {
    const result = await next()
    if (operation === 'get' && !isRead) {
      isRead = true
      await clock.advance(60_001)
    }
    return result
  })
  const client = rateLimiterClient(new Cache(store, { clock }))
  await new Promise<unknown>((resolve) => client.add('ada', 1, 60, resolve))
  const increment = () =>
    new Promise((resolve) => client.incr('ada', 1, (_error, sum) => resolve(sum)))
  expect(await increment()).toBe(1)
  await clock.advance(1_001)
  expect(await increment()).toBe(false)
})

test('an unreachable backend rejects, and an insurance takes over', async () => {
  const cache = new Cache(unreachable())
  const failing = limit(cache)
  await expect(failing.consume('ada')).rejects.toThrow('Can not add key')
  const insured = new RateLimiterMemcache({
    storeClient: rateLimiterClient(cache),
    points: 5,
    duration: 60,
    insuranceLimiter: limit(new Cache(memory())),
  })
  expect((await insured.consume('ada')).remainingPoints).toBe(4)
  await new Promise<void>((resolve) =>
    rateLimiterClient(cache).get('ada', (error) => {
      expect(CacheError.is(error)).toBe(true)
      resolve()
    }),
  )
})
