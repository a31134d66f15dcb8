import assert from 'node:assert/strict'
import type { Awaitable } from '@stowage/core'
import { collectKeys } from '../assertions.ts'
import { type ConformanceCase, group } from '../case.ts'
import { type AnyStore, day, type Fixture, minute } from '../fixture.ts'

const pollIntervalMs = 10

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
  return exact ? assertExpires(key, ttl, rule) : waitUntilMissing(key, rule)
}

async function assertNotShortened(fixture: Fixture, name: string, write: RejectedWrite) {
  const { store, item, newKey, shortTtl, letExpire, exists } = fixture
  const key = newKey()
  await store.set(key, item('kept'))
  assert.equal(await write(key, shortTtl), false, `${name} of this item returns false`)
  await letExpire(shortTtl)
  assert.ok(await exists(key), `${name} does not set a ttl for an existing item`)
}

/** Keys of items that have just expired and were not read since. */
async function expiredKeys(fixture: Fixture, count = 1): Promise<string[]> {
  const { store, newKeys, item, shortTtl, letExpire } = fixture
  const keys = newKeys(count)
  for (const key of keys) await store.set(key, item('old'), shortTtl)
  await letExpire(shortTtl)
  return keys
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
async function assertLifetime(fixture: Fixture, { ttl, write: [name, write] }: Lifetime) {
  const { store, newKey, exact, exists, wait, roundedTtl } = fixture
  const key = newKey()
  const rule = `${name} with a ttl of ${ttl} ms`
  const before = performance.now()
  await write(store, key, fixture, ttl)
  const written = performance.now()
  const minMs = roundedTtl(ttl)
  if (exact) {
    await wait(minMs - 1)
    assert.ok(await exists(key), `${rule}: expired before ${minMs} ms`)
    await wait(1)
    return assert.ok(!(await exists(key)), `${rule}: still exists after ${minMs} ms`)
  }
  const maxMs = minMs + store.limits.ttlStep + lateToleranceMs
  for (let start = written; await exists(key); start = performance.now()) {
    assert.ok(start - written <= maxMs, `${rule}: still exists after ${maxMs} ms`)
    await wait(pollIntervalMs)
  }
  const lifetime = performance.now() - before
  assert.ok(lifetime >= minMs - clockToleranceMs, `${rule}: expired before ${minMs} ms`)
}
const ttlCases = everyWrite.map(([name, write]) => [
  `${name}: the item expires after its ttl`,
  (fixture: Fixture) =>
    assertWriteExpires(write, fixture, fixture.shortTtl, `${name} applies its ttl`),
])

export const expiry: readonly ConformanceCase[] = group('expiry', {
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

  'a write without a ttl removes the earlier ttl': async (fixture) => {
    const { store, item, withinTtl, letExpire, read } = fixture
    const next = item('next')
    const rewrites: Record<string, (key: string, old: unknown) => Promise<unknown>> = {
      set: async (key) => store.set(key, next),
      setMany: async (key) => store.setMany([[key, next]]),
      compareAndSet: async (key, old) => store.compareAndSet(key, old, next),
    }
    for (const [name, rewrite] of Object.entries(rewrites)) {
      const { key, ttl } = await withinTtl(async (key, ttl) => {
        const old = item('old')
        await store.set(key, old, ttl)
        await rewrite(key, old)
      })
      await letExpire(ttl)
      assert.equal(await read(key), 'next', `${name} without a ttl removes the earlier ttl`)
    }
  },

  'set with a ttl replaces the earlier ttl': async (fixture) => {
    const { store, item, withinTtl, letExpire, read, newKey, shortTtl, assertExpires } = fixture
    const longer = await withinTtl(async (key, ttl) => {
      await store.set(key, item('old'), ttl)
      await store.set(key, item('new'), 1_000 * minute)
    })
    await letExpire(longer.ttl)
    assert.equal(await read(longer.key), 'new', 'a set with a longer ttl applies that ttl')
    const shorter = newKey()
    await store.set(shorter, item('old'), 1_000 * minute)
    await store.set(shorter, item('new'), shortTtl)
    await assertExpires(shorter, shortTtl, 'a set with a shorter ttl applies that ttl')
  },

  'touch moves the expiry, later and earlier': async (fixture) => {
    const { store, item, withinTtl, letExpire, read, newKey, shortTtl, assertExpires } = fixture
    const later = await withinTtl(async (key, ttl) => {
      await store.set(key, item('kept'), ttl)
      const touched = await store.touch(key, 1_000 * minute)
      assert.equal(touched, true, 'touch of an existing item returns true')
    })
    await letExpire(later.ttl)
    assert.equal(await read(later.key), 'kept', 'touch with a longer ttl extends the expiry')
    const earlier = newKey()
    await store.set(earlier, item('kept'), 1_000 * minute)
    const touched = await store.touch(earlier, shortTtl)
    assert.equal(touched, true, 'touch of an existing item returns true')
    await assertExpires(earlier, shortTtl, 'the ttl of touch is relative to the call')
  },

  'touch without a ttl removes the expiry': async ({ store, item, withinTtl, letExpire, read }) => {
    const { key, ttl } = await withinTtl(async (key, ttl) => {
      await store.set(key, item('kept'), ttl)
      assert.equal(await store.touch(key), true, 'touch of an existing item returns true')
    })
    await letExpire(ttl)
    assert.equal(await read(key), 'kept', 'touch without a ttl removes the expiry')
  },

  'touch does not change the item': async ({ store, newKey, item, sameItem }) => {
    const key = newKey()
    const before = item('caf\u00e9 \u0000 \u{1f600}')
    await store.set(key, before)
    for (const ttl of [minute, undefined]) {
      assert.equal(await store.touch(key, ttl), true, 'touch of an existing item returns true')
      assert.ok(sameItem(await store.get(key), before), 'touch changes the expiry only')
    }
  },

  'touch never creates an item': async ({ store, newKey, item, exists }) => {
    const key = newKey()
    for (const ttl of [minute, undefined]) {
      assert.equal(await store.touch(key, ttl), false, 'touch of a missing key returns false')
      assert.equal(await exists(key), false, 'touch of a missing key stores nothing')
    }
    await store.set(key, item('x'))
    await store.delete(key)
    assert.equal(await store.touch(key, minute), false, 'touch of a deleted key returns false')
    assert.equal(await exists(key), false, 'touch does not restore a deleted item')
  },

  'get and getMany do not return expired items': async (fixture) => {
    const [one, two] = (await expiredKeys(fixture, 2)) as [string, string]
    assert.equal(await fixture.store.get(one), undefined, 'get of an expired item is a miss')
    assert.deepEqual(
      [...(await fixture.store.getMany([two, one]))],
      [undefined, undefined],
      'getMany of expired items returns misses',
    )
  },

  'add replaces an expired item': async (fixture) => {
    const [key] = (await expiredKeys(fixture)) as [string]
    const added = await fixture.store.add(key, fixture.item('new'))
    assert.equal(added, true, 'add returns true for an expired item')
    assert.equal(await fixture.read(key), 'new', 'add replaces an expired item')
  },

  'compareAndSet does not match an expired item': async (fixture) => {
    const { store, newKey, item, shortTtl, letExpire, exists } = fixture
    const old = item('old')
    for (const next of [item('new'), undefined]) {
      const key = newKey()
      await store.set(key, old, shortTtl)
      await letExpire(shortTtl)
      const replaced = await store.compareAndSet(key, old, next)
      assert.equal(replaced, false, 'compareAndSet of an expired item returns false')
      assert.equal(await exists(key), false, 'compareAndSet does not restore an expired item')
    }
  },

  'increment of an expired counter creates a new one with a ttl': async (fixture) => {
    const { store, newKey, shortTtl, letExpire, assertExpires } = fixture
    const key = newKey()
    await store.increment(key, 5, shortTtl)
    await letExpire(shortTtl)
    const sum = await store.increment(key, 1, shortTtl)
    assert.equal(sum, 1, 'an expired counter starts at 0')
    await assertExpires(key, shortTtl, 'the new counter expires after the ttl')
  },

  'touch does not restore an expired item': async (fixture) => {
    const [one, two] = (await expiredKeys(fixture, 2)) as [string, string]
    const { store, exists } = fixture
    assert.equal(await store.touch(one, minute), false, 'touch of an expired item returns false')
    assert.equal(await store.touch(two), false, 'touch of an expired item returns false')
    assert.equal(await exists(one), false, 'touch with a ttl does not restore an expired item')
    assert.equal(await exists(two), false, 'touch without a ttl does not restore an expired item')
  },

  'delete and deleteMany do not count expired items': async (fixture) => {
    const [one, two, three] = (await expiredKeys(fixture, 3)) as [string, string, string]
    const { store, newKey, item } = fixture
    assert.equal(await store.delete(one), false, 'delete of an expired item returns false')
    const existing = newKey()
    await store.set(existing, item('x'))
    const count = await store.deleteMany([two, existing, three])
    assert.equal(count, 1, 'deleteMany does not count expired items')
  },

  'scan does not list expired items': async (fixture) => {
    const { store, newKey, item } = fixture
    if (store.scan === undefined) return
    const expired = await expiredKeys(fixture, 3)
    const existing = newKey()
    await store.set(existing, item('x'), minute)
    const found = await collectKeys(store.scan(fixture.prefix))
    for (const key of expired) assert.ok(!found.includes(key), 'scan does not list expired items')
    assert.ok(found.includes(existing), 'scan lists items whose ttl has not passed')
  },
})
