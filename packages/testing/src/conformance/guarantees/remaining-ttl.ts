import assert from 'node:assert/strict'
import { type ConformanceCase, group } from '../support/case.ts'
import { type AnyStore, type Fixture, minute } from '../support/fixture.ts'

type ItemsWithTtl = Awaited<ReturnType<Required<AnyStore>['getWithTtl']>>

const ttl = 10 * minute
/** How long the calls of a case may take on a slow machine. */
const toleranceMs = minute

/** Creates a check that applies only to stores with `getWithTtl`. */
function ifSupported(check: (fixture: Fixture, store: Required<AnyStore>) => Promise<void>) {
  return async (fixture: Fixture) => {
    if (fixture.store.getWithTtl === undefined) return
    await check(fixture, fixture.store as Required<AnyStore>)
  }
}

/** Asserts that the remaining ttl of an item is the expected one, in milliseconds. */
async function assertRemaining(fixture: Fixture, key: string, expected: number, rule: string) {
  const [found] = (await fixture.store.getWithTtl?.([key])) ?? []
  const remaining = found?.ttl ?? Number.NaN
  const { ttlStep, timeError = 0 } = fixture.store.limits
  const isRight = fixture.exact
    ? remaining >= expected && remaining <= expected + ttlStep
    : remaining > expected - toleranceMs && remaining <= expected + 2 * ttlStep + timeError
  assert.ok(isRight, `${rule}: ${expected} ms, not ${String(found?.ttl)}`)
}

export const remainingTtl: readonly ConformanceCase[] = group('expiry', {
  'getWithTtl keeps order, repeats and gaps': ifSupported(async (fixture, store) => {
    const { newKey, item, textOf } = fixture
    const [a, b, missing] = [newKey('a'), newKey('b'), newKey('missing')]
    await store.set(a, item('a'))
    await store.set(b, item('b'), ttl)
    for (const options of [undefined, { consistency: 'strong' }] as const) {
      const found = await store.getWithTtl([b, missing, a, b], options)
      const texts = found.map((each) => textOf(each?.item))
      assert.deepEqual(texts, ['b', undefined, 'a', 'b'], 'it returns one result per key')
    }
    assert.deepEqual(await store.getWithTtl([]), [], 'getWithTtl([]) returns []')
  }),

  'getWithTtl returns the remaining ttl, and Infinity for an item without': ifSupported(
    async (fixture, store) => {
      const { newKey, item } = fixture
      const [key, endless] = [newKey(), newKey()]
      await store.set(key, item('x'), ttl)
      await store.set(endless, item('x'))
      await assertRemaining(fixture, key, ttl, 'the ttl is that of the write')
      const [found] = await store.getWithTtl([endless])
      assert.equal(found?.ttl, Infinity, 'the ttl of an item that never expires is Infinity')
      await store.touch(key, ttl / 2)
      await assertRemaining(fixture, key, ttl / 2, 'touch changes the ttl')
    },
  ),

  // Otherwise a value that is stored again with what remains of its ttl would end the one that has replaced it.
  'getWithTtl returns no shorter ttl while the value is replaced': ifSupported(
    async (fixture, store) => {
      const key = fixture.newKey()
      await store.set(key, fixture.item('x'), ttl)
      for (let round = 0; round < 20; round++) {
        const reads = [store.getWithTtl([key]), store.getWithTtl([key])]
        const writes = [1, 2].map(() => store.set(key, fixture.item('x'), ttl))
        const results = await Promise.all([...reads, ...writes, store.getWithTtl([key])])
        for (const [found] of [results[0], results[1], results[4]] as ItemsWithTtl[]) {
          const remaining = found?.ttl ?? ttl
          assert.ok(remaining > ttl - toleranceMs, `it is that of a value, not ${remaining}`)
        }
      }
    },
  ),

  'getWithTtl returns what remains of a ttl, and no expired item': ifSupported(
    async (fixture, store) => {
      const { newKey, item, shortTtl, letExpire, roundedTtl, exact } = fixture
      const [key, short] = [newKey(), newKey()]
      await store.set(key, item('x'), exact ? ttl : 2 * minute)
      await store.set(short, item('x'), shortTtl)
      await letExpire(shortTtl)
      const [found, expired] = await store.getWithTtl([key, short])
      assert.equal(expired, undefined, 'an expired item is a miss')
      const limit = (exact ? ttl : 2 * minute) - roundedTtl(shortTtl) + 2 * store.limits.ttlStep
      assert.ok((found?.ttl ?? Infinity) <= limit, 'the time that has passed is subtracted')
    },
  ),
})
