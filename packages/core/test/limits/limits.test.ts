import {
  Cache,
  channels,
  type LimitEvent,
  type LockEvent,
  type RateLimitResult,
} from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { expect, test } from 'vitest'
import { twoProcesses } from '../remember/two-processes.ts'

const window = '1m'

test('a fixed window takes one increment, a sliding one a read beside it', async () => {
  const { a, reads, writes } = twoProcesses()
  await a.rateLimit('x', { limit: 5, window }).consume('key')
  expect([writes, reads]).toEqual([['increment'], []])
  await a.rateLimit('x', { limit: 5, window, policy: 'sliding' }).consume('key')
  expect([writes, reads]).toEqual([['increment', 'increment'], ['get']])
})

test('all takes of a turn share one swap of the bucket', async () => {
  const { a, reads, writes } = twoProcesses()
  const limiter = a.rateLimit('x', { limit: 5, window, policy: 'bucket' })
  const results = await Promise.all(Array.from({ length: 8 }, () => limiter.consume('key')))
  expect(results.map(({ remaining }) => remaining)).toEqual([4, 3, 2, 1, 0, 0, 0, 0])
  expect([writes, reads]).toEqual([['add'], ['get']])
})

test('a bucket allows a burst, and restores units evenly', async () => {
  const { a, clock } = twoProcesses()
  const options = { limit: 60, window, policy: 'bucket', burst: 3 } as const
  const limiter = a.rateLimit('x', options)
  expect(await limiter.consume('key', 3)).toMatchObject({ allowed: true, limit: 3, remaining: 0 })
  expect(await limiter.consume('key')).toMatchObject({ allowed: false, retryAfterMs: 1_000 })
  await clock.advance(2_000)
  expect(await limiter.consume('key', 2)).toMatchObject({ allowed: true, remaining: 0 })
})

test('a bucket is not emptied by a clock of the backend that is behind, as after a failover', async () => {
  const backend = referenceStore()
  const start = 1_900_000_000_000
  const limiterAt = (time: number) => {
    const store = Object.assign(
      wrapStore(backend, (_operation, call) => call()),
      { time: async () => time },
    )
    const cache = new Cache(store, { clock: new ManualClock(time) })
    return cache.rateLimit('x', { limit: 60, window, policy: 'bucket' })
  }
  expect(await limiterAt(start).consume('key', 20)).toMatchObject({ allowed: true, remaining: 40 })
  // The 30 units of this time were not missing earlier.
  const behind = limiterAt(start - 30_000)
  expect(await behind.consume('key', 20)).toMatchObject({ allowed: true, remaining: 20 })
})

test('windows of different keys begin at different times', async () => {
  const { a } = twoProcesses()
  const limiter = a.rateLimit('x', { limit: 5, window })
  const results = await Promise.all(['a', 'b', 'c', 'd'].map((key) => limiter.peek(key)))
  expect(new Set(results.map(({ resetAt }) => resetAt)).size).toBe(4)
})

test('the clock of the backend decides, and is read once', async () => {
  const backend = referenceStore()
  let reads = 0
  const connect = () =>
    Object.assign(
      wrapStore(backend, (_operation, call) => call()),
      {
        time: async () => {
          reads++
          return 1_800_000_000_000
        },
      },
    )
  const start = 1_900_000_000_000
  const clocks = [start, start + 600_000].map((now) => new ManualClock(now))
  const limiters = clocks.map((clock) =>
    new Cache(connect(), { clock }).rateLimit('x', { limit: 2, window: '1h' }),
  )
  const results: RateLimitResult[] = []
  for (const limiter of [...limiters, ...limiters]) results.push(await limiter.consume('key'))
  expect(results.map(({ allowed }) => allowed)).toEqual([true, true, false, false])
  expect(reads).toBe(2)
  // By the clock of each process.
  const [first = 0, second = 0] = results.map(({ resetAt }) => resetAt)
  expect(Math.abs(second - first - 600_000)).toBeLessThan(5_000)
})

test('a clock of the backend that replied slowly is read again', async () => {
  const { backend } = twoProcesses()
  const now = 1_800_000_000_000
  let reads = 0
  const store = Object.assign(
    wrapStore(backend, (_operation, call) => call()),
    {
      time: async () => {
        if (++reads === 1) await new Promise((resolve) => setTimeout(resolve, 300))
        return now
      },
    },
  )
  await new Cache(store).rateLimit('x', { limit: 1, window }).consume('key')
  expect(reads).toBe(2)
})

test('an unreachable clock of the backend is a failure of the store', async () => {
  const { backend } = twoProcesses()
  const store = Object.assign(
    wrapStore(backend, (_operation, call) => call()),
    { time: async () => Promise.reject(new Error('down')) },
  )
  await expect(
    new Cache(store).rateLimit('x', { limit: 1, window }).consume('key'),
  ).rejects.toThrow('down')
})

test('publishes what is allowed and denied', async () => {
  const { a } = twoProcesses({ name: 'main' })
  const events: LimitEvent[] = []
  const collect = (event: unknown) => events.push(event as LimitEvent)
  channels.limit.subscribe(collect)
  const limiter = a.rateLimit('login', { limit: 1, window })
  for (let calls = 0; calls < 2; calls++) await limiter.consume('ada')
  channels.limit.unsubscribe(collect)
  const event = { cache: 'main', store: 'reference', key: 'login:ada', remaining: 0 }
  expect(events).toEqual([
    { ...event, allowed: true },
    { ...event, allowed: false },
  ])
})

test('a slot is given up before another call can take it', async () => {
  const { a, b } = twoProcesses()
  const order: string[] = []
  const use = (cache: Cache, name: string) =>
    cache.concurrency('exports', { limit: 1 }).run(
      async () => {
        order.push(`${name} begins`)
        await new Promise((resolve) => setTimeout(resolve, 5))
        order.push(`${name} ends`)
      },
      { wait: '10s' },
    )
  await Promise.all([use(a, 'a'), use(b, 'b')])
  expect(order.map((entry) => entry.slice(2))).toEqual(['begins', 'ends', 'begins', 'ends'])
})

test('events name the slot that was taken, or the limit if none was free', async () => {
  const { a } = twoProcesses()
  const events: LockEvent[] = []
  const collect = (event: unknown) => events.push(event as LockEvent)
  channels.lock.subscribe(collect)
  const limit = a.concurrency('exports', { limit: 1 })
  await limit.run(() => limit.run(() => {}).catch(() => {}))
  channels.lock.unsubscribe(collect)
  expect(events.map(({ outcome, key }) => [outcome, key])).toEqual([
    ['acquired', '~limit:exports:c:0'],
    ['refused', '~limit:exports:c:'],
    ['released', '~limit:exports:c:0'],
  ])
})

test('rejects invalid arguments', async () => {
  const { a } = twoProcesses()
  expect(() => a.rateLimit('x', { limit: 0, window })).toThrow('rateLimit: limit must be')
  expect(() => a.rateLimit('x', { limit: 1, window: 0 })).toThrow('rateLimit: window must be')
  expect(() => a.rateLimit('x', { limit: 1, window, burst: 2 })).toThrow('burst needs')
  expect(() => a.rateLimit('x', { limit: 1, window, policy: 'leaky' as 'fixed' })).toThrow(
    'rateLimit: policy must be one of',
  )
  expect(() => a.concurrency('x', { limit: 1_001 })).toThrow('concurrency: limit must be')
  const limiter = a.rateLimit('x', { limit: 1, window })
  await expect(limiter.consume('')).rejects.toThrow(TypeError)
  await expect(limiter.consume('key', 0.5)).rejects.toThrow(TypeError)
})
