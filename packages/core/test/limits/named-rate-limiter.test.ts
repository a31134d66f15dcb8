import { Cache, CacheError, channels, type RateLimiter } from '@stowage/core'
import { type StoreOperation, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

/** A cache whose store fails as soon as `failure` is set. */
function setUp() {
  const clock = new ManualClock()
  const state: { failure?: Error } = {}
  const operations: StoreOperation[] = []
  const store = wrapStore(referenceStore({ clock }), (operation, call) => {
    operations.push(operation)
    if (state.failure !== undefined) throw state.failure
    return call()
  })
  return { cache: new Cache(store, { clock, name: 'main' }), clock, state, operations }
}

async function eventsOf(channel: 'limit' | 'error', work: () => Promise<unknown>) {
  const events: unknown[] = []
  const collect = (event: unknown) => events.push(event)
  channels[channel].subscribe(collect)
  await work().finally(() => channels[channel].unsubscribe(collect))
  return events
}

const options = { limit: 5, window: '1m' } as const
const outage = new CacheError('ERR_CACHE_UNAVAILABLE', 'no reply')

describe('rejects what is not a key or a cost, before the store is reached', () => {
  const calls: Record<string, (limiter: RateLimiter) => Promise<unknown>> = {
    'a key to consume': (limiter) => limiter.consume(1 as unknown as string),
    'a key to read': (limiter) => limiter.peek(''),
    'a key to undo': (limiter) => limiter.undo(''),
    'a key to reset': (limiter) => limiter.reset(''),
    'a cost of nothing': (limiter) => limiter.consume('key', 0),
    'a cost to give back': (limiter) => limiter.undo('key', -1),
  }
  test.each(Object.entries(calls))('%s', async (_, call) => {
    const { cache, operations } = setUp()
    await expect(call(cache.rateLimit('x', options))).rejects.toThrow(TypeError)
    expect(operations).toEqual([])
  })
})

describe('while the store fails', () => {
  test('a call is allowed with what a full limit would have left', async () => {
    const { cache, clock, state } = setUp()
    const limiter = cache.rateLimit('x', { ...options, onError: 'allow' })
    state.failure = outage
    const resetAt = clock.now() + 1_000
    const allowed = { allowed: true, limit: 5, resetAt, retryAfterMs: 0 }
    expect(await limiter.consume('key', 2)).toEqual({ ...allowed, remaining: 3 })
    expect(await limiter.consume('key', 6)).toEqual({ ...allowed, remaining: 0 })
    expect(await limiter.peek('key')).toEqual({ ...allowed, remaining: 5 })
  })

  test('a call is denied for a second', async () => {
    const { cache, clock, state } = setUp()
    const limiter = cache.rateLimit('x', { ...options, onError: 'deny' })
    state.failure = outage
    const resetAt = clock.now() + 1_000
    const denied = { allowed: false, limit: 5, resetAt, remaining: 0, retryAfterMs: 1_000 }
    expect(await limiter.consume('key')).toEqual(denied)
  })

  test('its error is published with each decision', async () => {
    const { cache, state } = setUp()
    const limiter = cache.rateLimit('x', { ...options, onError: 'deny' })
    const consume = () => limiter.consume('key')
    const event = { cache: 'main', store: 'reference', key: 'x:key' }
    expect(await eventsOf('limit', consume)).toStrictEqual([
      { ...event, allowed: true, remaining: 4 },
    ])
    state.failure = outage
    expect(await eventsOf('limit', consume)).toStrictEqual([
      { ...event, allowed: false, remaining: 0, error: outage },
    ])
    expect(await eventsOf('error', consume)).toMatchObject([{ error: outage }])
  })

  test('a look at what is left is not published as a call, and its error is', async () => {
    const { cache, state } = setUp()
    const limiter = cache.rateLimit('x', { ...options, onError: 'deny' })
    const peek = () => limiter.peek('key')
    expect(await eventsOf('limit', peek)).toEqual([])
    state.failure = outage
    expect(await eventsOf('limit', peek)).toEqual([])
    expect(await eventsOf('error', peek)).toMatchObject([{ error: outage }])
  })

  test('nothing is decided for a closed cache, or an error of the program', async () => {
    const { cache, state } = setUp()
    const limiter = cache.rateLimit('x', { ...options, onError: 'allow' })
    state.failure = new TypeError('not a function')
    await expect(limiter.consume('key')).rejects.toThrow('not a function')
    delete state.failure
    await cache.close()
    await expect(limiter.consume('key')).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
  })
})

test('rejects unknown options, and accepts a window of a millisecond', () => {
  const { cache } = setUp()
  const misspelled = { ...options, polici: 'fixed' }
  expect(() => cache.rateLimit('x', misspelled)).toThrow('Did you mean policy?')
  expect(() => cache.concurrency('x', { limit: 1, tl: 1 } as { limit: 1 })).toThrow('option tl')
  expect(() => cache.rateLimit('x', { limit: 1, window: 1 })).not.toThrow()
  expect(() => cache.rateLimit('x', { limit: 1, window: 0.5 })).toThrow('at least 1 ms')
})
