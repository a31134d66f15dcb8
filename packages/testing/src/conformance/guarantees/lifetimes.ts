import assert from 'node:assert/strict'
import type { Awaitable } from '@stowage/core'
import { settle } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import { type AnyStore, day, type Fixture, minute } from '../support/fixture.ts'

/** Often, because a fine rounding shows for a short time only. */
const pollIntervalMs = 10
/** How long before the expiry an item is read for the first time. */
const pollBeforeMs = 150
/** The item must be seen at most so long before its expiry: otherwise the machine was too busy, and it is measured again. */
const tightMs = 50
const maxMeasurements = 20
/** How often in a row a rule must be broken: a server that the machine had stopped counts its seconds late. */
const maxViolations = 3

type Write = (store: AnyStore, key: string, fixture: Fixture, ttl?: number) => Promise<unknown>

/** Every method that takes a ttl. */
const writes: Readonly<Record<string, Write>> = {
  set: async (store, key, { item }, ttl) => store.set(key, item('1'), ttl),
  setMany: async (store, key, { item }, ttl) => store.setMany([[key, item('1')]], ttl),
  add: async (store, key, { item }, ttl) => store.add(key, item('1'), ttl),
  compareAndSet: async (store, key, { item }, ttl) => {
    const before = item('0')
    await store.set(key, before)
    return store.compareAndSet(key, before, item('1'), ttl)
  },
  increment: async (store, key, _fixture, ttl) => store.increment(key, 1, ttl),
  touch: async (store, key, { item }, ttl) => {
    await store.set(key, item('1'))
    return store.touch(key, ttl)
  },
}

async function assertWriteExpires(write: Write, fixture: Fixture, ttl: number, rule: string) {
  const key = fixture.newKey()
  await write(fixture.store, key, fixture, ttl)
  await fixture.assertExpires(key, ttl, rule)
}

/** A write that returns false, because it does not replace the item. */
type RejectedWrite = (key: string, ttl?: number) => Awaitable<boolean>

async function assertNotProlonged(fixture: Fixture, name: string, write: RejectedWrite) {
  const { store, item, exact, withinTtl, waitUntilMissing, assertExpires } = fixture
  const { key, ttl } = await withinTtl(async (key, ttl) => {
    await store.set(key, item('kept'), ttl)
    assert.equal(await write(key), false, `${name} of this item returns false`)
  })
  const rule = `${name} does not prolong an existing item`
  return exact ? assertExpires(key, ttl, rule) : waitUntilMissing(key, rule, ttl)
}

async function assertNotShortened(fixture: Fixture, name: string, write: RejectedWrite) {
  const { store, item, newKey, shortTtl, letExpire, exists } = fixture
  const key = newKey()
  await store.set(key, item('kept'))
  assert.equal(await write(key, shortTtl), false, `${name} of this item returns false`)
  await letExpire(shortTtl)
  assert.ok(await exists(key), `${name} does not set a ttl for an existing item`)
}

const everyWrite = Object.entries(writes)

/** What the clocks of a backend and of this process, in whole milliseconds, may make of a ttl. */
const clockToleranceMs = 2
/** By how much a busy server may be late. */
const lateToleranceMs = 250

interface Lifetime {
  readonly ttl: number
  readonly write: readonly [name: string, write: Write]
}

/** Asserts that an item exists for the rounded ttl and is missing a step later. */
async function assertLifetime(fixture: Fixture, lifetime: Lifetime) {
  if (fixture.exact) return assertExactLifetime(fixture, lifetime)
  let violations = 0
  for (let count = 0; count < maxMeasurements; count++) {
    const outcome = await settle(() => measureLifetime(fixture, lifetime))
    violations = outcome.status === 'rejected' ? violations + 1 : 0
    if (outcome.status === 'rejected' && violations === maxViolations) throw outcome.reason
    if (outcome.status === 'fulfilled' && outcome.value) return
  }
}

async function assertExactLifetime(fixture: Fixture, { ttl, write: [name, write] }: Lifetime) {
  const { store, newKey, exists, wait, roundedTtl } = fixture
  const key = newKey()
  const rule = `${name} with a ttl of ${ttl} ms`
  await write(store, key, fixture, ttl)
  const minMs = roundedTtl(ttl)
  await wait(minMs - 1)
  assert.ok(await exists(key), `${rule}: expired before ${minMs} ms`)
  await wait(1)
  assert.ok(!(await exists(key)), `${rule}: still exists after ${minMs} ms`)
}

/** On the system clock. Returns whether the item was seen so late that an expiry a little too early would have shown. */
async function measureLifetime(fixture: Fixture, { ttl, write: [name, write] }: Lifetime) {
  const { store, newKey, exists, wait, roundedTtl } = fixture
  const key = newKey()
  const rule = `${name} with a ttl of ${ttl} ms`
  const before = performance.now()
  await write(store, key, fixture, ttl)
  const written = performance.now()
  const minMs = roundedTtl(ttl)
  const maxMs = minMs + store.limits.ttlStep + lateToleranceMs
  let seen = written
  await wait(Math.max(0, minMs - pollBeforeMs))
  for (let start = performance.now(); await exists(key); start = performance.now()) {
    assert.ok(start - written <= maxMs, `${rule}: still exists after ${maxMs} ms`)
    seen = start
    await wait(pollIntervalMs)
  }
  const lifetime = performance.now() - before
  assert.ok(lifetime >= minMs - clockToleranceMs, `${rule}: expired before ${minMs} ms`)
  return seen - before >= minMs - tightMs
}
const ttlCases = everyWrite.map(([name, write]) => [
  `${name}: the item expires after its ttl`,
  (fixture: Fixture) =>
    assertWriteExpires(write, fixture, fixture.shortTtl, `${name} applies its ttl`),
])

/** How long an item exists, for every write. */
export const lifetimes: readonly ConformanceCase[] = group('expiry', {
  'an item expires between its rounded ttl and one limits.ttlStep later': async (fixture) => {
    const { ttlStep } = fixture.store.limits
    // The second one shows that a store rounds to seconds although it declares a finer step.
    const ttls = new Set([1, 1_990, ttlStep, 2 * ttlStep - 1])
    const lifetimes = [...ttls].flatMap((ttl) => everyWrite.map((write) => ({ ttl, write })))
    // A manual clock cannot be advanced for several items at the same time.
    if (fixture.exact) for (const each of lifetimes) await assertLifetime(fixture, each)
    else await Promise.all(lifetimes.map((each) => assertLifetime(fixture, each)))
  },

  ...Object.fromEntries(ttlCases),

  'an item with a ttl of 1 ms expires': async (fixture) => {
    for (const [name, write] of everyWrite) {
      await assertWriteExpires(write, fixture, 1, `${name} with a ttl of 1 ms`)
    }
  },

  'a ttl is rounded up to limits.ttlStep, never down': async (fixture) => {
    const { store, newKey, item, exact, assertExpires } = fixture
    if (!exact) return
    const { ttlStep } = store.limits
    for (const ttl of new Set([1, ttlStep, ttlStep + 1, 3 * ttlStep - 1])) {
      const key = newKey()
      await store.set(key, item('x'), ttl)
      await assertExpires(key, ttl, `a ttl of ${ttl} is rounded up to a multiple of ${ttlStep}`)
    }
  },

  'a write that does not store its item does not change the expiry': async (fixture) => {
    const { store, item, exact } = fixture
    const rejected: Record<string, RejectedWrite> = {
      add: (key, ttl) => store.add(key, item('x'), ttl),
      compareAndSet: (key, ttl) => store.compareAndSet(key, item('other'), item('x'), ttl),
    }
    const checks = Object.entries(rejected).flatMap(([name, write]) => [
      () => assertNotProlonged(fixture, name, (key) => write(key, 1_000 * minute)),
      () => assertNotProlonged(fixture, name, (key) => write(key)),
      () => assertNotShortened(fixture, name, write),
    ])
    if (exact) for (const check of checks) await check()
    else await Promise.all(checks.map((check) => check()))
  },

  'a ttl beyond 30 days is relative, not a timestamp': async (fixture) => {
    const { store, newKey, exists, exact, assertExpires } = fixture
    for (const [name, write] of everyWrite) {
      for (const ttl of [30 * day, 30 * day + 1_000, 31 * day, 3_650 * day]) {
        const key = newKey()
        await write(store, key, fixture, ttl)
        const rule = `${name} with a ttl of ${ttl / day} days`
        assert.ok(await exists(key), `${rule}: the item exists`)
        if (exact) await assertExpires(key, ttl, rule)
      }
    }
  },

  'an item without a ttl never expires': async (fixture) => {
    const { store, newKey, exists, exact, wait } = fixture
    const written: [string, string][] = []
    for (const [name, write] of everyWrite) {
      const key = newKey()
      await write(store, key, fixture)
      written.push([name, key])
    }
    if (exact) await wait(10_000 * day)
    for (const [name, key] of written) {
      assert.ok(await exists(key), `${name} without a ttl: the item never expires`)
    }
  },
})
