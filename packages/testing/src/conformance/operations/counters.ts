import assert from 'node:assert/strict'
import { toBytes } from '@stowage/core/driver'
import { assertCacheError, assertTypeError, concurrently } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import { minute } from '../support/fixture.ts'

const max = Number.MAX_SAFE_INTEGER
const min = Number.MIN_SAFE_INTEGER
const nonIntegers = ['', 'abc', '12abc', '1.5', '1e3', ' 12', '12 ', '0x10', 'true', 'null', '"12"']
const nonIntegerValues = ['abc', '12', '', 1.5, NaN, null, true, {}, [1]]

export const counters: readonly ConformanceCase[] = group('counters', {
  'increment of a missing counter starts at 0': async ({ store, newKey }) => {
    for (const by of [1, 5, -3, 0]) {
      assert.equal(await store.increment(newKey(), by), by, 'a missing counter starts at 0')
    }
  },

  'increment returns the sum and get returns it as text': async ({ store, newKey, read }) => {
    const key = newKey()
    assert.equal(await store.increment(key, 40), 40, 'increment returns the sum')
    assert.equal(await store.increment(key, 2), 42, 'increment returns the sum')
    assert.equal(await read(key), '42', 'a counter is stored as a decimal number')
    assert.equal(await store.increment(key, 0), 42, 'increment by 0 returns the sum')
  },

  'a counter can become negative and positive again': async ({ store, newKey, read }) => {
    const key = newKey()
    assert.equal(await store.increment(key, 2), 2, 'increment adds')
    assert.equal(await store.increment(key, -5), -3, 'a counter can become negative')
    assert.equal(await read(key), '-3', 'a negative counter is stored with its sign')
    assert.equal(await store.increment(key, -1), -4, 'a negative counter can decrease')
    assert.equal(await store.increment(key, 10), 6, 'a negative counter can become positive')
  },

  'a counter that loses a digit is not padded': async ({ store, newKey, read }) => {
    const key = newKey()
    await store.increment(key, 100)
    await store.increment(key, -1)
    assert.equal(await read(key), '99', 'a shorter number is stored without padding')
    await store.increment(key, -99)
    assert.equal(await read(key), '0', 'zero is stored as 0')
  },

  'increment adds to a number that set stored': async ({ store, newKey, encoded }) => {
    const key = newKey()
    for (const start of [41, 0, -7]) {
      await store.set(key, encoded(start))
      assert.equal(await store.increment(key, 1), start + 1, 'a stored integer is a counter')
    }
  },

  '1000 concurrent increments return 1 to 1000': async ({ store, newKey, read }) => {
    const key = newKey()
    const sums = await concurrently(1_000, () => store.increment(key, 1))
    const expected = Array.from({ length: 1_000 }, (_, index) => index + 1)
    sums.sort((a, b) => a - b)
    assert.deepEqual(sums, expected, 'increment is atomic: each sum is returned once')
    assert.equal(await read(key), '1000', 'no increment is lost')
  },

  'concurrent increments of both signs add up': async ({ store, newKey, read }) => {
    const key = newKey()
    await concurrently(100, (index) => store.increment(key, index % 2 === 0 ? 3 : -4))
    assert.equal(await read(key), '-50', 'increment is atomic for negative sums too')
  },

  'increment rejects text that is not an integer': async (fixture) => {
    const { store, newKey, item, read, isByteStore } = fixture
    if (!isByteStore) return
    for (const text of nonIntegers) {
      const key = newKey()
      await store.set(key, item(text))
      const rule = `increment rejects ${JSON.stringify(text)}`
      await assertCacheError('ERR_CACHE_REJECTED', () => store.increment(key, 1), rule)
      assert.equal(await read(key), text, `${rule} and does not change it`)
    }
  },

  'increment rejects bytes that are not text': async (fixture) => {
    const { store, newKey, isByteStore, sameItem } = fixture
    if (!isByteStore) return
    const key = newKey()
    const body = Uint8Array.of(0x31, 0xff, 0x00)
    await store.set(key, body)
    const rule = 'increment rejects bytes'
    await assertCacheError('ERR_CACHE_REJECTED', () => store.increment(key, 1), rule)
    assert.ok(sameItem(await store.get(key), body), `${rule} and does not change them`)
  },

  'increment rejects an entry that is not an integer': async (fixture) => {
    const { store, newKey, isByteStore, sameItem } = fixture
    if (isByteStore) return
    for (const value of nonIntegerValues) {
      const key = newKey()
      const entry = { value }
      await store.set(key, entry)
      const rule = `increment rejects ${typeof value} ${JSON.stringify(value)}`
      await assertCacheError('ERR_CACHE_REJECTED', () => store.increment(key, 1), rule)
      assert.ok(sameItem(await store.get(key), entry), `${rule} and does not change it`)
    }
  },

  'counters reach the largest and smallest safe integer': async ({ store, newKey, read }) => {
    const [up, down] = [newKey(), newKey()]
    await store.increment(up, max - 1)
    assert.equal(await store.increment(up, 1), max, 'a counter can reach 2^53 - 1')
    assert.equal(await read(up), String(max), 'the largest counter is stored exactly')
    await store.increment(down, min + 1)
    assert.equal(await store.increment(down, -1), min, 'a counter can reach -(2^53 - 1)')
    assert.equal(await read(down), String(min), 'the smallest counter is stored exactly')
  },

  'increment rejects a sum that is not a safe integer': async (fixture) => {
    const { store, newKey, encoded, read } = fixture
    for (const [start, by] of [
      [max, 1],
      [max, max],
      [1, max],
      [min, -1],
      [min, min],
    ] as const) {
      const key = newKey()
      await store.set(key, encoded(start))
      const rule = `increment rejects ${start} + ${by}`
      await assertCacheError('ERR_CACHE_REJECTED', () => store.increment(key, by), rule)
      assert.equal(await read(key), String(start), `${rule} and does not change the counter`)
    }
  },

  'increment never rounds a stored number that is not a safe integer': async (fixture) => {
    const { store, newKey, read, isByteStore } = fixture
    if (!isByteStore) return
    const stored = '9007199254740993'
    for (const [by, sum] of [
      [-2, max],
      [0, undefined],
      [1, undefined],
    ] as const) {
      const key = newKey()
      await store.set(key, stored)
      const result = await (async () => store.increment(key, by))().catch(() => undefined)
      if (result === undefined)
        assert.equal(await read(key), stored, 'a rejected increment changes nothing')
      else assert.equal(result, sum, `${stored} + ${by} is exact or rejected, never rounded`)
    }
  },

  'a deleted counter starts at 0 again': async ({ store, newKey }) => {
    const key = newKey()
    await store.increment(key, 5)
    assert.equal(await store.delete(key), true, 'delete of a counter returns true')
    assert.equal(await store.increment(key, 1), 1, 'a deleted counter starts at 0')
  },

  'compareAndSet can replace a counter': async ({ store, newKey, encoded }) => {
    const key = newKey()
    await store.increment(key, 5)
    const current = await store.get(key)
    const replaced = await store.compareAndSet(key, current, encoded(9))
    assert.equal(replaced, true, 'compareAndSet accepts a counter that get returned')
    assert.equal(await store.increment(key, 1), 10, 'increment adds to the new number')
  },

  'a counter is stored as ASCII digits': async ({ store, newKey, isByteStore, sameItem }) => {
    if (!isByteStore) return
    const key = newKey()
    await store.increment(key, -12)
    const stored = await store.get(key)
    assert.ok(sameItem(stored, toBytes('-12')), 'the bytes of a counter are its decimal digits')
  },

  'a new counter expires after its ttl': async ({ store, newKey, shortTtl, assertExpires }) => {
    const key = newKey()
    await store.increment(key, 1, shortTtl)
    await assertExpires(key, shortTtl, 'a counter expires after the ttl it was created with')
  },

  'a later increment does not change the ttl': async ({ store, withinTtl, assertExpires }) => {
    for (const later of [minute, undefined]) {
      const { key, ttl } = await withinTtl(async (key, ttl) => {
        await store.increment(key, 1, ttl)
        const sum = await store.increment(key, 1, later)
        assert.equal(sum, 2, 'increment adds to a counter with a ttl')
      })
      await assertExpires(key, ttl, 'increment never extends or removes the ttl of a counter')
    }
  },

  'increment does not give a ttl to an existing counter': async (fixture) => {
    const { store, newKey, shortTtl, letExpire, read } = fixture
    const key = newKey()
    await store.increment(key, 1)
    await store.increment(key, 1, shortTtl)
    await letExpire(shortTtl)
    assert.equal(await read(key), '2', 'the ttl of increment applies only if it creates a counter')
  },

  'a rejected increment does not change the ttl': async (fixture) => {
    const { store, item, withinTtl, assertExpires } = fixture
    const { key, ttl } = await withinTtl(async (key, ttl) => {
      await store.set(key, item('text'), ttl)
      const call = () => store.increment(key, 1, minute)
      await assertCacheError('ERR_CACHE_REJECTED', call, 'increment rejects text')
    })
    await assertExpires(key, ttl, 'a rejected increment changes nothing')
  },

  'a cache reads a counter as a number': async ({ newKey, newCache }) => {
    const key = newKey()
    const cache = newCache()
    assert.equal(await cache.increment(key, 3), 3, 'increment returns the sum')
    assert.equal(await cache.decrement(key, 5), -2, 'decrement subtracts')
    assert.equal(await cache.decrement(newKey(), 0), 0, 'decrement by 0 returns 0, not -0')
    assert.equal(await cache.get(key), -2, 'get returns a counter as a number')
    assert.deepEqual(await cache.getMany([key]), [-2], 'getMany returns a counter as a number')
    await cache.set(key, 10)
    assert.equal(await cache.increment(key), 11, 'increment adds to a number that set stored')
  },

  'a cache increments by safe integers only': async ({ newKey, newCache, exists }) => {
    const key = newKey()
    for (const by of [1.5, NaN, Infinity, 2 ** 53]) {
      await assertTypeError(() => newCache().increment(key, by), `increment by ${by}`)
      await assertTypeError(() => newCache().decrement(key, by), `decrement by ${by}`)
    }
    assert.equal(await exists(key), false, 'a call with a wrong argument stores nothing')
  },
})
