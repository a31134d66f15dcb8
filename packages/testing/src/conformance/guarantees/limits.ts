import assert from 'node:assert/strict'
import { assertCacheError } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import type { Fixture } from '../support/fixture.ts'

const mebibyte = 1_048_576
/** Values beyond this size would test the memory of the machine. */
const largestTestedBytes = 8 * mebibyte

export const limits: readonly ConformanceCase[] = group('limits', {
  'a store has a name, a payload kind and limits': async ({ store }) => {
    assert.ok(typeof store.name === 'string' && store.name !== '', 'name is a non-empty string')
    assert.ok(['bytes', 'entry'].includes(store.payload), "payload is 'bytes' or 'entry'")
    const { keyBytes, valueBytes, ttlStep } = store.limits
    assert.ok(keyBytes >= 128, 'limits.keyBytes is at least 128, for a prefix and a digest')
    assert.ok(valueBytes > 0, 'limits.valueBytes is a positive number, or Infinity')
    assert.ok(
      Number.isSafeInteger(ttlStep) && ttlStep >= 1,
      'limits.ttlStep is a positive integer of milliseconds',
    )
  },

  'every write accepts items up to the limit': async (fixture) => {
    const limit = testableLimit(fixture)
    for (const size of limit === undefined ? [mebibyte] : [limit - 1, limit]) {
      await assertAccepts(fixture, size)
    }
  },

  'set above the limit fails and deletes the old item': async (fixture) => {
    const { store, newKey, item, exists } = fixture
    const limit = testableLimit(fixture)
    if (limit === undefined) return assertAccepts(fixture, mebibyte)
    for (const excess of [1, limit]) {
      const key = newKey()
      await store.set(key, item('old'))
      const call = () => store.set(key, item(text(limit + excess)))
      const error = await assertCacheError('ERR_CACHE_LIMIT', call, 'set above limits.valueBytes')
      assert.equal(error.operation, 'set', 'the error names the operation')
      assert.equal(await exists(key), false, 'a set above the limit deletes the old item')
    }
  },

  'setMany above the limit fails and deletes the old items': async (fixture) => {
    const { store, newKey, item, exists } = fixture
    const limit = testableLimit(fixture)
    if (limit === undefined) return assertAccepts(fixture, mebibyte)
    const [one, two, small] = [newKey(), newKey(), newKey()]
    await store.set(one, item('old'))
    await store.set(two, item('old'))
    const call = () =>
      store.setMany([
        [small, item('x')],
        [one, item(text(limit + 1))],
        [two, item(text(limit + 1))],
      ])
    await assertCacheError('ERR_CACHE_LIMIT', call, 'setMany above limits.valueBytes')
    assert.deepEqual(
      [await exists(one), await exists(two)],
      [false, false],
      'a setMany above the limit deletes all old items that it was to replace',
    )
  },

  'add above the limit fails and stores nothing': async (fixture) => {
    const { store, newKey, item, exists } = fixture
    const limit = testableLimit(fixture)
    if (limit === undefined) return assertAccepts(fixture, mebibyte)
    const key = newKey()
    const call = () => store.add(key, item(text(limit + 1)))
    await assertCacheError('ERR_CACHE_LIMIT', call, 'add above limits.valueBytes')
    assert.equal(await exists(key), false, 'an add above the limit stores nothing')
  },

  'compareAndSet above the limit fails and stores nothing': async (fixture) => {
    const { store, newKey, item, read } = fixture
    const limit = testableLimit(fixture)
    if (limit === undefined) return assertAccepts(fixture, mebibyte)
    const key = newKey()
    const old = item('old')
    await store.set(key, old)
    const call = () => store.compareAndSet(key, old, item(text(limit + 1)))
    await assertCacheError('ERR_CACHE_LIMIT', call, 'compareAndSet above limits.valueBytes')
    const left = await read(key)
    assert.ok(left === undefined || left === 'old', 'no part of the value is stored')
  },

  'the limit counts bytes, not characters': async (fixture) => {
    const { store, newKey, isByteStore } = fixture
    const limit = testableLimit(fixture)
    if (!isByteStore) return
    const wide = '\u20ac'.repeat(Math.ceil(((limit ?? mebibyte) + 1) / 3))
    const key = newKey()
    if (limit === undefined) return store.set(key, wide)
    const rule = 'limits.valueBytes is compared with the UTF-8 bytes of a string'
    await assertCacheError('ERR_CACHE_LIMIT', () => store.set(key, wide), rule)
  },

  'a cache rejects a value above the limit and deletes the old one': async (fixture) => {
    const { newKey, newCache } = fixture
    const limit = testableLimit(fixture)
    const cache = newCache()
    const key = newKey()
    await cache.set(key, 'old')
    if (limit === undefined) return cache.set(key, text(mebibyte))
    const call = () => cache.set(key, text(limit))
    await assertCacheError('ERR_CACHE_LIMIT', call, 'set of a value above the limit')
    assert.equal(await cache.get(key), undefined, 'the old value is deleted')
  },
})

/** The limit in bytes, or `undefined` if there is none that a test can reach. */
function testableLimit({ store, isByteStore }: Fixture): number | undefined {
  const { valueBytes } = store.limits
  return isByteStore && valueBytes <= largestTestedBytes ? valueBytes : undefined
}

function text(bytes: number): string {
  return 'x'.repeat(bytes)
}

/** Asserts that every write stores an item of that size. */
async function assertAccepts({ store, newKey, item, read, sameItem }: Fixture, size: number) {
  const large = item(text(size))
  const [set, many, added, replaced] = [newKey(), newKey(), newKey(), newKey()]
  const old = item('old')
  await store.set(set, large)
  await store.setMany([[many, large]])
  assert.equal(await store.add(added, large), true, `add accepts ${size} bytes`)
  await store.set(replaced, old)
  const swapped = await store.compareAndSet(replaced, old, large)
  assert.equal(swapped, true, `compareAndSet accepts ${size} bytes`)
  for (const key of [set, many, added, replaced]) {
    assert.ok(sameItem(await store.get(key), large), `get returns all ${size} bytes`)
  }
  assert.equal((await read(set))?.length, size, `get returns all ${size} bytes`)
}
