import { setImmediate as nextTurn } from 'node:timers/promises'
import { Cache, type RateLimiter, type RateLimitOptions } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { ManualClock, referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

/** How long counters are kept beyond their window: a request may be late by 10 seconds, and clocks differ by 50 ms. */
const slackMs = 10_050
const windowMs = 100_000

interface Call {
  readonly operation: string
  readonly args: readonly unknown[]
}

/** A limiter on a store that records its calls, at the beginning of a window of `key`. */
async function setUp(options: Partial<RateLimitOptions>, values: 'bytes' | 'shared' = 'bytes') {
  const clock = new ManualClock()
  const calls: Call[] = []
  /** Runs after each call of the store. */
  const hook: { after?: ((call: Call) => Promise<void>) | undefined } = {}
  const backend = values === 'bytes' ? referenceStore({ clock }) : memory({ clock, values })
  const store = wrapStore(backend, (operation, call, args) => {
    calls.push({ operation, args })
    const result = call()
    const { after } = hook
    return after === undefined ? result : after({ operation, args }).then(() => result)
  })
  const cache = new Cache(store, { clock })
  const limiter = cache.rateLimit('x', { limit: 5, window: windowMs, ...options })
  const { resetAt } = await cache.rateLimit('x', { limit: 5, window: windowMs }).peek('key')
  await clock.advance(resetAt - clock.now())
  calls.length = 0
  const operations = () => calls.splice(0).map(({ operation }) => operation)
  return { clock, cache, limiter, calls, operations, hook }
}

async function use(limiter: RateLimiter, units: number): Promise<void> {
  for (let count = 0; count < units; count++) await limiter.consume('key')
}

describe('a fixed window', () => {
  test('is counted in the turn of the call', async () => {
    const { limiter, operations } = await setUp({})
    const consuming = limiter.consume('key')
    expect(operations()).toEqual(['increment'])
    await consuming
  })

  test('keeps its counter until its end, and for as long as a request may be late', async () => {
    const { limiter, calls, clock } = await setUp({})
    await clock.advance(30_000)
    const { resetAt } = await limiter.consume('key')
    expect(resetAt).toBe(clock.now() + 70_000)
    expect(calls.map(({ args }) => args[2])).toEqual([70_000 + slackMs])
  })

  test('says when the next one begins', async () => {
    const { limiter, clock } = await setUp({})
    await limiter.consume('key', 4)
    await clock.advance(30_000)
    expect(await limiter.consume('key', 5)).toMatchObject({ retryAfterMs: 70_000, remaining: 1 })
  })

  test('makes one request for a denied call, and a second one if it must give units back', async () => {
    const { limiter, operations } = await setUp({})
    await use(limiter, 5)
    operations()
    await limiter.consume('key')
    expect(operations()).toEqual(['increment'])
    await limiter.reset('key')
    await limiter.consume('key', 4)
    operations()
    await limiter.consume('key', 2)
    expect(operations()).toEqual(['increment', 'compareAndSet'])
    expect((await limiter.peek('key')).remaining).toBe(1)
    expect(operations()).toEqual(['get'])
  })

  test('gives nothing back of a full one', async () => {
    const { limiter, operations } = await setUp({})
    await use(limiter, 5)
    operations()
    await limiter.consume('key', 2)
    expect(operations()).toEqual(['increment'])
  })

  test('is deleted by reset, with no other', async () => {
    const { limiter, calls } = await setUp({})
    await limiter.reset('key')
    expect(calls).toMatchObject([{ operation: 'deleteMany', args: [[expect.any(String)]] }])
  })

  test('stores nothing for an undo of nothing, and repeats one after a conflict', async () => {
    const { limiter, operations, hook } = await setUp({})
    await limiter.undo('key')
    expect(operations()).toEqual(['get'])
    await limiter.consume('key', 3)
    let reads = 0
    hook.after = async ({ operation }) => {
      if (operation === 'get' && reads++ === 0) await limiter.consume('key')
    }
    await limiter.undo('key', 2)
    expect((await limiter.peek('key')).remaining).toBe(3)
  })
})

test('windows of a key begin at the same times in all versions', async () => {
  const clock = new ManualClock(1_800_000_000_000)
  const cache = new Cache(referenceStore({ clock }), { clock })
  const limiter = cache.rateLimit('x', { limit: 5, window: 1_000_000 })
  const beginsIn = async (key: string) => (await limiter.peek(key)).resetAt - clock.now()
  const times = await Promise.all(['', '1', '2'].map((end) => beginsIn(`user${end}`)))
  expect(times).toEqual([646_067, 599_236, 922_531])
})

test('the clock of the backend also decides for an undo', async () => {
  const backend = referenceStore()
  const store = Object.assign(
    wrapStore(backend, (_operation, call) => call()),
    { time: async () => 1_800_000_000_000 },
  )
  const limiterOf = () => new Cache(store).rateLimit('x', { limit: 5, window: '1h' })
  await limiterOf().consume('key', 3)
  await limiterOf().undo('key', 2)
  expect((await limiterOf().peek('key')).remaining).toBe(4)
})

describe.each(['bytes', 'shared'] as const)('a denied call, values: %s', (values) => {
  test('ends when its units have been given back', async () => {
    const { limiter, operations, hook } = await setUp({}, values)
    await limiter.consume('key', 4)
    operations()
    const ended: string[] = []
    hook.after = async ({ operation }) => {
      await nextTurn()
      ended.push(operation)
    }
    await limiter.consume('key', 2)
    const read = values === 'shared' ? ['get'] : []
    expect(ended).toEqual(['increment', ...read, 'compareAndSet'])
    hook.after = undefined
    expect((await limiter.peek('key')).remaining).toBe(1)
  })

  test('gives nothing back of a limit that was reset meanwhile', async () => {
    const { limiter, hook } = await setUp({}, values)
    await limiter.consume('key', 4)
    hook.after = async ({ operation }) => {
      if (operation !== 'increment') return
      hook.after = undefined
      await limiter.reset('key')
      await limiter.consume('key', 5)
    }
    expect((await limiter.consume('key', 3)).allowed).toBe(false)
    expect((await limiter.consume('key')).allowed).toBe(false)
  })
})

test.each(['fixed', 'sliding', 'bucket'] as const)('all reads are strong: %s', async (policy) => {
  const { limiter, calls } = await setUp({ policy }, 'shared')
  await limiter.consume('key', 4)
  await limiter.consume('key', 2)
  await limiter.peek('key')
  await limiter.undo('key')
  const reads = calls.filter(({ operation }) => operation === 'get')
  expect(reads.length).toBeGreaterThan(2)
  expect(new Set(reads.map(({ args }) => args[1]))).toEqual(new Set([{ consistency: 'strong' }]))
})

describe('a sliding window', () => {
  const policy = 'sliding'

  test('keeps its counter for the window after it', async () => {
    const { limiter, calls, clock } = await setUp({ policy })
    await clock.advance(30_000)
    const { resetAt } = await limiter.consume('key')
    expect(resetAt).toBe(clock.now() + 70_000 + windowMs)
    expect(calls[0]?.args[2]).toBe(70_000 + windowMs + slackMs)
  })

  test('counts a share of the window before', async () => {
    const { limiter, clock } = await setUp({ policy })
    await use(limiter, 5)
    await clock.advance(windowMs + 60_000)
    expect(await limiter.peek('key')).toMatchObject({ remaining: 3 })
    expect(await limiter.consume('key', 4)).toMatchObject({ allowed: false, remaining: 3 })
    expect(await limiter.consume('key', 3)).toMatchObject({ allowed: true, remaining: 0 })
  })

  test('is full again when the units of the window before have left it', async () => {
    const { limiter, clock } = await setUp({ policy })
    await use(limiter, 5)
    await clock.advance(windowMs + 60_000)
    const { resetAt } = await limiter.peek('key')
    expect(resetAt).toBe(clock.now() + 40_000)
    await clock.advance(20_000)
    const denied = await limiter.consume('key', 5)
    expect(denied).toMatchObject({ allowed: false, resetAt })
    await limiter.consume('key')
    expect((await limiter.peek('key')).resetAt).toBe(resetAt + windowMs)
  })

  test.each([
    // 1 of 5 units counts from 80 % of the window on.
    { before: 5, elapsed: 20_000, current: 0, cost: 4, retryAfterMs: 60_000 },
    // 3 units were consumed already: in the window after it, 2 of them must not count.
    { before: 5, elapsed: 50_000, current: 2, cost: 4, retryAfterMs: 100_000 },
    // No unit of the window before may count, so the whole window has to pass.
    { before: 5, elapsed: 60_000, current: 1, cost: 4, retryAfterMs: 40_000 },
    { before: 0, elapsed: 10_000, current: 3, cost: 5, retryAfterMs: 190_000 },
  ])(
    'says when a call is allowed: %o',
    async ({ before, elapsed, current, cost, retryAfterMs }) => {
      const { limiter, clock } = await setUp({ policy })
      await use(limiter, before)
      await clock.advance(windowMs + elapsed)
      await use(limiter, current)
      expect(await limiter.consume('key', cost)).toMatchObject({ allowed: false, retryAfterMs })
      await clock.advance(retryAfterMs - 1)
      expect((await limiter.consume('key', cost)).allowed).toBe(false)
      await clock.advance(1)
      expect((await limiter.consume('key', cost)).allowed).toBe(true)
    },
  )

  test('rounds no unit away', async () => {
    const { limiter, clock } = await setUp({ policy, limit: 25 })
    await use(limiter, 25)
    // 25 × 0.56 = 14.000000000000002
    await clock.advance(windowMs + 44_000)
    expect((await limiter.consume('key')).remaining).toBe(10)
  })

  test('allows a call that uses the limit exactly, although a sum of shares does not', async () => {
    const { cache, limiter, clock } = await setUp({ policy, limit: 25 })
    await use(limiter, 25)
    await clock.advance(windowMs + 44_000)
    // 14.000000000000002 + 1, after the limit was lowered.
    const lowered = cache.rateLimit('x', { limit: 15, window: windowMs, policy })
    expect(await lowered.consume('key')).toMatchObject({ allowed: true, remaining: 0 })
  })

  test('is deleted by reset with the window before', async () => {
    const { limiter, clock } = await setUp({ policy })
    await use(limiter, 5)
    await clock.advance(windowMs)
    await limiter.reset('key')
    expect((await limiter.peek('key')).remaining).toBe(5)
  })
})

describe('a bucket', () => {
  const policy = 'bucket'

  test('is stored until it is full, and for as long as a request may be late', async () => {
    const { limiter, calls, clock } = await setUp({ policy })
    expect(await limiter.consume('key', 3)).toMatchObject({ resetAt: clock.now() + 60_000 })
    expect(calls.at(-1)?.args[2]).toBe(60_000 + slackMs)
  })

  test('is not written by a denied call', async () => {
    const { limiter, operations } = await setUp({ policy })
    await limiter.consume('key', 3)
    operations()
    expect(await limiter.consume('key', 4)).toMatchObject({ remaining: 2, retryAfterMs: 40_000 })
    expect(await limiter.consume('key', 5)).toMatchObject({ retryAfterMs: 60_000 })
    expect(operations()).toEqual(['get', 'get'])
  })

  test('can be tried again after a millisecond at the earliest', async () => {
    const { limiter } = await setUp({ policy, limit: 1_000_000_000, burst: 1 })
    const results = await Promise.all([limiter.consume('key'), limiter.consume('key')])
    expect(results.map(({ retryAfterMs }) => retryAfterMs)).toEqual([0, 1])
  })

  test('rounds no unit away', async () => {
    const { limiter, clock } = await setUp({ policy, limit: 3, window: 7_000 })
    await limiter.consume('key', 3)
    await clock.advance(6_402)
    await limiter.consume('key')
    await clock.advance(598)
    // 1.0000000000000004 units are missing.
    expect((await limiter.peek('key')).remaining).toBe(2)
    expect(await limiter.consume('key', 2)).toMatchObject({ allowed: true, remaining: 0 })
  })

  test('sends the takes made during a write together after it', async () => {
    const { limiter, operations, hook } = await setUp({ policy })
    const later: Promise<unknown>[] = []
    hook.after = async ({ operation }) => {
      if (operation !== 'get') return
      hook.after = undefined
      later.push(limiter.consume('key'), limiter.consume('key'))
    }
    await limiter.consume('key')
    await Promise.all(later)
    expect(operations()).toEqual(['get', 'add', 'get', 'compareAndSet'])
    expect((await limiter.peek('key')).remaining).toBe(2)
  })
})
