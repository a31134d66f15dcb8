import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cache, RateLimiter, RateLimitResult } from '@stowage/core'
import { assertCacheError, concurrently, countTrue } from '../../support/assertions.ts'
import { type ConformanceCase, group } from '../../support/case.ts'
import { day, type Fixture } from '../../support/fixture.ts'
import { newProcessCaches, newStoppableProcess } from '../../support/processes.ts'

const policies = ['fixed', 'sliding', 'bucket'] as const
type Policy = (typeof policies)[number]

/** Longer than any test takes, and so long that hardly any window of a real clock ends during one. */
const window = '30d' as const
const pollMs = 10
/** Longer than two windows. */
const maxPolls = 1_500

export const rateLimits: readonly ConformanceCase[] = group('rate limits', {
  'several processes consume exactly the limit': async (fixture) => {
    const caches = await newProcessCaches(fixture)
    for (const policy of policies) {
      const name = fixture.newKey()
      const limiters = caches.map((cache) => cache.rateLimit(name, { limit: 10, window, policy }))
      const first = await (limiters[0] as RateLimiter).consume('key')
      const others = await concurrently(29, (index) =>
        (limiters[index % 2] as RateLimiter).consume('key'),
      )
      const results = [first, ...others]
      assert.equal(countTrue(results.map(({ allowed }) => allowed)), 10, `${policy}: the limit`)
      for (const limiter of limiters) assertDenied(await limiter.consume('key'), policy)
      const other = await (limiters[0] as RateLimiter).consume('other')
      assert.equal(other.allowed, true, `${policy}: each key has a limit of its own`)
    }
  },

  'a result says how many units are left, and when to try again': async (fixture) => {
    for (const policy of policies) {
      const limiter = newLimiter(fixture, policy)
      const rule = `${policy}: `
      const results = [await limiter.consume('key', 2), await limiter.consume('key', 3)]
      assert.deepEqual(
        results.map(({ allowed, remaining }) => [allowed, remaining]),
        [
          [true, 3],
          [true, 0],
        ],
        `${rule}consume returns what is left`,
      )
      assert.deepEqual(
        results.map(({ limit, retryAfterMs }) => [limit, retryAfterMs]),
        [
          [5, 0],
          [5, 0],
        ],
        `${rule}a call that is allowed need not be repeated`,
      )
      assertDenied(await limiter.peek('key'), policy)
      const never = await limiter.consume('other', 6)
      assert.deepEqual([never.allowed, never.retryAfterMs], [false, Infinity], `${rule}never`)
      assert.equal((await limiter.peek('other')).remaining, 5, `${rule}peek consumes nothing`)
    }
  },

  'a call that is denied consumes nothing': async (fixture) => {
    for (const policy of policies) {
      const limiter = newLimiter(fixture, policy)
      const costs = [3, 3, 3, 2, 1]
      const allowed: boolean[] = []
      for (const cost of costs) allowed.push((await limiter.consume('key', cost)).allowed)
      assert.deepEqual(allowed, [true, false, false, true, false], `${policy}: a denied call`)
    }
  },

  'units are given back by undo and reset, and never more than the limit': async (fixture) => {
    for (const policy of policies) {
      const limiter = newLimiter(fixture, policy)
      await limiter.undo('key', 2)
      assert.equal((await limiter.peek('key')).remaining, 5, `${policy}: undo of nothing`)
      for (let calls = 0; calls < 8; calls++) await limiter.consume('key')
      await limiter.undo('key', 2)
      assert.equal((await limiter.peek('key')).remaining, 2, `${policy}: undo`)
      await limiter.undo('key', 9)
      assert.equal((await limiter.peek('key')).remaining, 5, `${policy}: undo of too much`)
      await limiter.consume('key', 5)
      await limiter.reset('key')
      assert.equal((await limiter.consume('key', 5)).allowed, true, `${policy}: reset`)
      assertDenied(await limiter.consume('key'), policy)
    }
  },

  'units are available again when the result says so': async (fixture) => {
    if (!isManual(fixture)) {
      await Promise.all(policies.map((policy) => assertLimitEnds(fixture, policy)))
      return
    }
    for (const policy of policies) {
      const limiter = newLimiter(fixture, policy, 10_000)
      await use(limiter)
      let result = await limiter.consume('key')
      assertDenied(result, policy)
      await fixture.wait(result.retryAfterMs - 1)
      assertDenied(await limiter.peek('key'), policy)
      await fixture.wait(1)
      assert.equal((await limiter.consume('key')).allowed, true, `${policy}: retryAfterMs`)
      result = await limiter.consume('key', 6)
      await fixture.wait(result.resetAt - fixture.clock.now())
      assert.ok(await isFull(limiter), `${policy}: resetAt`)
    }
  },

  'units of the window before count in a sliding window, and a bucket fills evenly': async (
    fixture,
  ) => {
    if (!isManual(fixture)) return
    for (const policy of ['sliding', 'bucket'] as const) {
      const limiter = newLimiter(fixture, policy, 10_000)
      // At the beginning of a window.
      await fixture.wait((await limiter.peek('key')).resetAt - fixture.clock.now())
      await limiter.consume('key', 5)
      let allowed = 0
      for (let seconds = 0; seconds < 20; seconds++) {
        await fixture.wait(1_000)
        if ((await limiter.consume('key')).allowed) allowed++
      }
      assert.ok(allowed >= 5 && allowed <= 10, `${policy}: ${allowed} of 20 calls in two windows`)
    }
  },

  'a limit outlives clear(), and those of other names are separate': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    for (const policy of policies) {
      const options = { limit: 1, window, policy } as const
      const caches = [a, a.namespace('n')]
      const limiters = caches.flatMap((cache) =>
        ['x', 'x:y', 'n:x'].map((name) => cache.rateLimit(name, options)),
      )
      for (const key of ['key', 'y:key', '~key']) {
        for (const limiter of limiters) {
          assert.equal((await limiter.consume(key)).allowed, true, `${policy}: names are separate`)
        }
      }
      await a.namespace('n').clear()
      await Promise.all([a.clear(), b.clear()])
      for (const limiter of limiters) assertDenied(await limiter.consume('y:key'), policy)
    }
  },

  'a failure of the store is thrown, or decided as chosen': async (fixture) => {
    const { cache, stop, resume } = newStoppableProcess(fixture)
    for (const policy of policies) {
      const limiterOf = (onError?: 'throw' | 'allow' | 'deny') =>
        cache.rateLimit(fixture.newKey(), { limit: 5, window, policy, onError })
      const [thrown, allowed, denied] = [limiterOf(), limiterOf('allow'), limiterOf('deny')]
      stop()
      const code = 'ERR_CACHE_UNAVAILABLE'
      await assertCacheError(code, () => thrown.consume('key'), `${policy}: thrown by default`)
      assert.equal((await allowed.consume('key')).allowed, true, `${policy}: onError 'allow'`)
      const result = await denied.consume('key')
      assert.equal(result.allowed, false, `${policy}: onError 'deny'`)
      assert.ok(result.retryAfterMs > 0, `${policy}: a denied call can be repeated later`)
      await assertCacheError(code, () => denied.reset('key'), `${policy}: reset throws`)
      resume()
      const after = await denied.consume('key')
      assert.deepEqual([after.allowed, after.remaining], [true, 4], `${policy}: after the failure`)
    }
  },

  'as many calls run at the same time as a concurrency limit allows': async (fixture) => {
    const caches = await newProcessCaches(fixture)
    const name = fixture.newKey()
    let [running, most] = [0, 0]
    const work = async () => {
      most = Math.max(most, ++running)
      await sleep(5)
      running--
    }
    const limits = caches.map((cache) => cache.concurrency(name, { limit: 3, ttl: '1m' }))
    await concurrently(12, (index) => limits[index % 2]?.run(work, { wait: '15s' }))
    assert.ok(most <= 3, 'the limit is not exceeded')
    const nested = () => fillSlots(limits[0] as ReturnType<Cache['concurrency']>, 4)
    await assertCacheError('ERR_CACHE_LOCKED', nested, 'a call without a slot is refused')
    await fillSlots(limits[1] as ReturnType<Cache['concurrency']>, 3)
  },

  'a call takes any slot that is free': async ({ newCache, newKey }) => {
    // So many that a call which tries a random slot only cannot take all of them by chance.
    const slots = 20
    await fillSlots(newCache().concurrency(newKey(), { limit: slots, ttl: '1m' }), slots)
  },

  'the slot of a process that has ended becomes free with its ttl': async (fixture) => {
    const [, b] = await newProcessCaches(fixture)
    const { cache, stop } = newStoppableProcess(fixture)
    const name = fixture.newKey()
    const ttl = 1_500
    const options = { limit: 1, ttl }
    let end = () => {}
    const begun = new Promise<void>((resolve, reject) => {
      const work = () =>
        new Promise<void>((ended) => {
          end = ended
          resolve()
        })
      cache.concurrency(name, options).run(work).catch(reject)
    })
    await begun
    const taken = () => b.concurrency(name, options).run(() => 'done')
    await assertCacheError('ERR_CACHE_LOCKED', taken, 'the slot is taken')
    stop()
    await fixture.letExpire(ttl)
    const next = b.concurrency(name, options).run(() => 'done', { wait: '15s' })
    assert.equal(await next, 'done', 'the slot is free again')
    end()
  },
})

function newLimiter({ newCache, newKey, clock }: Fixture, policy: Policy, windowMs?: number) {
  return newCache({ clock }).rateLimit(newKey(), { limit: 5, window: windowMs ?? window, policy })
}

function assertDenied({ allowed, remaining, retryAfterMs }: RateLimitResult, policy: Policy): void {
  assert.equal(allowed, false, `${policy}: a call beyond the limit is denied`)
  assert.equal(remaining, 0, `${policy}: nothing is left`)
  assert.ok(retryAfterMs > 0 && retryAfterMs <= 2 * 30 * day, `${policy}: retryAfterMs`)
}

/** Takes as many slots, one within the other. */
async function fillSlots(limit: ReturnType<Cache['concurrency']>, count: number): Promise<unknown> {
  return limit.run(() => (count > 1 ? fillSlots(limit, count - 1) : undefined))
}

async function until(
  { wait }: Fixture,
  isMet: () => Promise<boolean>,
  rule: string,
): Promise<void> {
  // Counts polls instead of time, so that the case does not fail if the machine stops this process.
  for (let polls = 0; !(await isMet()); polls++) {
    assert.ok(polls < maxPolls, `${rule}: not within ${maxPolls * pollMs} ms`)
    await wait(pollMs)
  }
}

async function assertLimitEnds(fixture: Fixture, policy: Policy): Promise<void> {
  const limiter = newLimiter(fixture, policy, 2_000)
  await use(limiter)
  await limiter.consume('key')
  await until(fixture, () => isFull(limiter), `${policy}: a limit ends`)
}

/** Consumes all units of a key. */
async function use(limiter: RateLimiter): Promise<void> {
  for (let count = 0; count < 5; count++) await limiter.consume('key')
}

async function isFull(limiter: RateLimiter): Promise<boolean> {
  return (await limiter.peek('key')).remaining === 5
}

/** Whether the time of the backend moves with `wait` only. */
function isManual({ exact }: Fixture): boolean {
  return exact
}
