import assert from 'node:assert/strict'
import type { Cache, CacheError } from '@stowage/core'
import { assertCacheError } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import type { Fixture } from '../support/fixture.ts'
import { assertUnreachable, type Outage } from '../support/outage.ts'
import { cacheCalls, callsOf } from './lifecycle.ts'

/** Creates a check that needs a backend that can be broken. */
function withOutage(check: (outage: Outage, fixture: Fixture) => Promise<void>) {
  return async (fixture: Fixture) => {
    if (fixture.outage !== undefined) await check(fixture.outage, fixture)
  }
}

export const outage: readonly ConformanceCase[] = group('outage', {
  'every call fails with a CacheError before its deadline': withOutage(async (outage, fixture) => {
    await outage.untilReachable(() => fixture.store.set(fixture.newKey(), fixture.item('x')))
    await outage.during(async () => {
      // The first calls discover the outage, the later ones may fail at once.
      for (const _ of [1, 2]) await assertAllFail(outage, fixture)
      for (const [operation, call] of Object.entries(callsOf(fixture))) {
        assertDescribes(await outage.assertFails(operation, call), fixture, operation)
      }
    })
  }),

  'each call has an error with its own key': withOutage(async (outage, fixture) => {
    const { store, newKeys, item } = fixture
    await outage.untilReachable(() => store.set(fixture.newKey(), item('x')))
    const keys = newKeys(5)
    const calls = {
      get: (key: string) => store.get(key),
      set: (key: string) => store.set(key, item('x')),
      increment: (key: string) => store.increment(key, 1),
    }
    await outage.during(async () => {
      for (const [operation, call] of Object.entries(calls)) {
        const failures = keys.map((key) => outage.assertFails(operation, () => call(key)))
        const errors = await Promise.all(failures)
        for (const [index, error] of errors.entries()) assertOwnKey(error, keys[index] as string)
        assert.equal(new Set(errors).size, keys.length, 'each call has an error of its own')
      }
    })
  }),

  'the calls in flight when the backend fails settle': withOutage(async (outage, fixture) => {
    const { store, newKeys, item } = fixture
    const keys = newKeys(100)
    await outage.untilReachable(() => store.setMany(keys.map((key) => [key, item('old')] as const)))
    const calls = keys.flatMap((key) => [
      { name: 'set', key, outcome: outage.assertSettles('set', () => store.set(key, item('new'))) },
      { name: 'get', key, outcome: outage.assertSettles('get', () => store.get(key)) },
    ])
    await outage.during(async () => {
      for (const { name, key, outcome } of calls) {
        const settled = await outcome
        if (settled.status === 'rejected')
          assertOwnKey(assertUnreachable(name, settled.reason), key)
      }
    })
    await outage.waitUntilReachable()
    for (const key of keys) {
      const text = await outage.untilReachable(() => fixture.read(key))
      const rule = 'a set that failed has stored its item, or has changed nothing'
      assert.ok(text === undefined || text === 'old' || text === 'new', rule)
    }
  }),

  'every call of a cache with a prefix fails before its deadline': withOutage(
    async (outage, { newCache, newKey }) => {
      const known = newCache({ prefix: newKey('known:') })
      await outage.untilReachable(() => known.set('a', 1))
      await outage.during(async () => {
        const assertFails = async (cache: Cache) => {
          const { remember: _, ...calls } = cacheCalls(cache)
          for (const [method, call] of Object.entries(calls)) await outage.assertFails(method, call)
          const strong = () => cache.get('a', { consistency: 'strong' })
          await outage.assertFails('strong get', strong)
        }
        // A store that cannot list its keys has not read the generation of an unused prefix yet.
        await Promise.all([known, newCache({ prefix: newKey('unused:') })].map(assertFails))
      })
    },
  ),

  'remember returns the loaded value before the deadline': withOutage(
    async (outage, { newCache, newKey }) => {
      const known = newCache({ prefix: newKey('known:') })
      await outage.untilReachable(() => known.set('b', 1))
      await outage.during(async () => {
        const caches = [newCache(), known, newCache({ prefix: newKey('unused:') })]
        const outcomes = caches.map((cache) =>
          outage.assertSettles('remember', () =>
            cache.remember('a', { ttl: '1m' }, () => 'loaded'),
          ),
        )
        for (const outcome of await Promise.all(outcomes)) {
          const expected = { status: 'fulfilled', value: 'loaded' }
          assert.deepEqual(outcome, expected, 'remember does not need the backend')
        }
      })
    },
  ),

  'a store recovers when the backend is reachable again': withOutage(async (outage, fixture) => {
    const { newCache, newKey } = fixture
    const cache = newCache({ prefix: newKey('p:') })
    await outage.untilReachable(() => cache.set('a', 'before'))
    await outage.during(async () => {
      await outage.assertFails('ping', () => fixture.store.ping())
      await outage.assertFails('get', () => cache.get('a'))
    })
    await outage.waitUntilReachable()
    for (const call of Object.values(callsOf(fixture))) await outage.untilReachable(call)
    await outage.untilReachable(() => cache.set('a', 'after'))
    const value = await outage.untilReachable(() => cache.get('a', { consistency: 'strong' }))
    assert.equal(value, 'after', 'a cache recovers')
  }),

  'a store that is created during an outage can be used after it': withOutage(
    async (outage, fixture) => {
      let created: Awaited<ReturnType<Fixture['createStore']>>
      await outage.during(async () => {
        created = await fixture.createStore()
        const late = created
        if (late !== undefined) await outage.assertFails('get', () => late.get(fixture.newKey()))
      })
      await outage.waitUntilReachable()
      const store = created
      if (store === undefined) return
      await outage.waitUntilReachable(store)
      const key = fixture.newKey()
      await outage.untilReachable(() => store.set(key, fixture.item('x')))
      const item = await outage.untilReachable(() => store.get(key))
      assert.equal(fixture.textOf(item), 'x', 'the store can be used')
    },
  ),

  'close settles during an outage': withOutage(async (outage, { store, newKey, item }) => {
    await outage.untilReachable(() => store.set(newKey(), item('x')))
    await outage.during(async () => {
      const pending = outage.assertSettles('get', () => store.get(newKey()))
      const closed = await outage.assertSettles('close', () => store.close())
      assert.equal(closed.status, 'fulfilled', 'close does not need the backend')
      await pending
    })
    await assertCacheError('ERR_CACHE_CLOSED', () => store.get(newKey()), 'get after close')
  }),
})

/** Asserts that a call of each operation fails, all of them made in one tick. */
async function assertAllFail(outage: Outage, fixture: Fixture): Promise<void> {
  const failures = Object.entries(callsOf(fixture)).map(async ([operation, call]) =>
    assertDescribes(await outage.assertFails(operation, call), fixture, operation),
  )
  const outcomes = await Promise.allSettled(failures)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}

function assertDescribes(error: CacheError, { store }: Fixture, operation: string): void {
  assert.equal(error.store, store.name, 'the error names the store')
  assert.equal(error.operation, operation, 'the error names the operation')
  assert.equal(error.retryable, true, 'a call of an unreachable backend is retryable')
}

function assertOwnKey(error: CacheError, key: string): void {
  // A wrapper may not be able to name a key.
  assert.ok(error.key === undefined || error.key === key, 'an error has the key of its own call')
}
