import assert from 'node:assert/strict'
import { toBytes } from '@stowage/core/driver'
import { type ConformanceCase, group } from './case.ts'
import { fails, failsWithTypeError, together } from './expect.ts'
import { minute } from './subject.ts'

const max = Number.MAX_SAFE_INTEGER
const min = Number.MIN_SAFE_INTEGER
const noIntegers = ['', 'abc', '12abc', '1.5', '1e3', ' 12', '12 ', '0x10', 'true', 'null', '"12"']
const noIntegerValues = ['abc', '12', '', 1.5, NaN, null, true, {}, [1]]

export const counters: readonly ConformanceCase[] = group('counters', {
  'a missing counter is created at the first sum': async ({ store, key }) => {
    for (const by of [1, 5, -3, 0]) {
      assert.equal(await store.increment(key(), by), by, 'a missing counter starts at 0')
    }
  },

  'increment returns the sum, and get reads it': async ({ store, key, read }) => {
    const mine = key()
    assert.equal(await store.increment(mine, 40), 40, 'increment returns the sum')
    assert.equal(await store.increment(mine, 2), 42, 'increment returns the sum')
    assert.equal(await read(mine), '42', 'a counter is stored as a decimal number')
    assert.equal(await store.increment(mine, 0), 42, 'adding 0 leaves the sum')
  },

  'counters pass zero, in both directions': async ({ store, key, read }) => {
    const mine = key()
    assert.equal(await store.increment(mine, 2), 2, 'increment adds')
    assert.equal(await store.increment(mine, -5), -3, 'a counter goes below zero')
    assert.equal(await read(mine), '-3', 'a negative counter is stored as one')
    assert.equal(await store.increment(mine, -1), -4, 'a counter goes on below zero')
    assert.equal(await store.increment(mine, 10), 6, 'a counter comes back above zero')
  },

  'a counter that gets shorter leaves nothing behind': async ({ store, key, read }) => {
    const mine = key()
    await store.increment(mine, 100)
    await store.increment(mine, -1)
    assert.equal(await read(mine), '99', 'a shorter number is not padded')
    await store.increment(mine, -99)
    assert.equal(await read(mine), '0', 'zero is stored as 0')
  },

  'increment continues a number that was set': async ({ store, key, sealed }) => {
    const mine = key()
    for (const start of [41, 0, -7]) {
      await store.set(mine, sealed(start))
      assert.equal(await store.increment(mine, 1), start + 1, 'a stored integer is a counter')
    }
  },

  '1000 increments at once give 1 to 1000': async ({ store, key, read }) => {
    const mine = key()
    const sums = await together(1_000, () => store.increment(mine, 1))
    const expected = Array.from({ length: 1_000 }, (_, index) => index + 1)
    sums.sort((a, b) => a - b)
    assert.deepEqual(sums, expected, 'increment is atomic: no sum is lost or given twice')
    assert.equal(await read(mine), '1000', 'every increment counts')
  },

  'increments in both directions at once add up': async ({ store, key, read }) => {
    const mine = key()
    await together(100, (index) => store.increment(mine, index % 2 === 0 ? 3 : -4))
    assert.equal(await read(mine), '-50', 'increment is atomic below zero too')
  },

  'what is no integer is rejected and stays': async ({ store, key, item, read, bytes }) => {
    if (!bytes) return
    for (const text of noIntegers) {
      const mine = key()
      await store.set(mine, item(text))
      const rule = `increment refuses ${JSON.stringify(text)}`
      await fails('ERR_CACHE_REJECTED', () => store.increment(mine, 1), rule)
      assert.equal(await read(mine), text, `${rule} and leaves it as it was`)
    }
  },

  'bytes that are no text are rejected and stay': async ({ store, key, bytes, same }) => {
    if (!bytes) return
    const mine = key()
    const body = Uint8Array.of(0x31, 0xff, 0x00)
    await store.set(mine, body)
    await fails('ERR_CACHE_REJECTED', () => store.increment(mine, 1), 'increment refuses bytes')
    assert.ok(same(await store.get(mine), body), 'a refused increment changes nothing')
  },

  'an entry that is no integer is rejected and stays': async ({ store, key, bytes, same }) => {
    if (bytes) return
    for (const value of noIntegerValues) {
      const mine = key()
      const entry = { value }
      await store.set(mine, entry)
      const rule = `increment refuses ${typeof value} ${JSON.stringify(value)}`
      await fails('ERR_CACHE_REJECTED', () => store.increment(mine, 1), rule)
      assert.ok(same(await store.get(mine), entry), `${rule} and leaves it as it was`)
    }
  },

  'counters reach the largest safe integers': async ({ store, key, read }) => {
    const [up, down] = [key(), key()]
    await store.increment(up, max - 1)
    assert.equal(await store.increment(up, 1), max, 'a counter reaches 2^53 - 1')
    assert.equal(await read(up), String(max), 'the largest counter is stored exactly')
    await store.increment(down, min + 1)
    assert.equal(await store.increment(down, -1), min, 'a counter reaches -(2^53 - 1)')
    assert.equal(await read(down), String(min), 'the smallest counter is stored exactly')
  },

  'a sum beyond the safe integers is rejected': async ({ store, key, sealed, read }) => {
    for (const [start, by] of [
      [max, 1],
      [max, max],
      [1, max],
      [min, -1],
      [min, min],
    ] as const) {
      const mine = key()
      await store.set(mine, sealed(start))
      const rule = `increment refuses ${start} + ${by}`
      await fails('ERR_CACHE_REJECTED', () => store.increment(mine, by), rule)
      assert.equal(await read(mine), String(start), `${rule} and leaves the counter as it was`)
    }
  },

  'a stored number beyond the safe integers is never rounded': async (subject) => {
    const { store, key, read, bytes } = subject
    if (!bytes) return
    const stored = '9007199254740993'
    for (const [by, sum] of [
      [-2, max],
      [0, undefined],
      [1, undefined],
    ] as const) {
      const mine = key()
      await store.set(mine, stored)
      const outcome = await (async () => store.increment(mine, by))().catch(() => undefined)
      if (outcome === undefined) assert.equal(await read(mine), stored, 'a refused counter stays')
      else assert.equal(outcome, sum, `${stored} + ${by} is exact or refused, never rounded`)
    }
  },

  'a deleted counter starts anew': async ({ store, key }) => {
    const mine = key()
    await store.increment(mine, 5)
    assert.equal(await store.delete(mine), true, 'a counter can be deleted')
    assert.equal(await store.increment(mine, 1), 1, 'a deleted counter starts at 0')
  },

  'compareAndSet changes a counter': async ({ store, key, sealed }) => {
    const mine = key()
    await store.increment(mine, 5)
    const seen = await store.get(mine)
    assert.equal(await store.compareAndSet(mine, seen, sealed(9)), true, 'a counter is an item')
    assert.equal(await store.increment(mine, 1), 10, 'the counter goes on from the new number')
  },

  'a counter as bytes is ASCII digits': async ({ store, key, bytes, same }) => {
    if (!bytes) return
    const mine = key()
    await store.increment(mine, -12)
    assert.ok(same(await store.get(mine), toBytes('-12')), 'a counter is a decimal number in ASCII')
  },

  'a ttl applies to the counter it creates': async ({ store, key, shortTtl, expires }) => {
    const mine = key()
    await store.increment(mine, 1, shortTtl)
    await expires(mine, shortTtl, 'a counter lives for the ttl it was created with')
  },

  'later increments leave the ttl alone': async ({ store, inTime, expires }) => {
    for (const later of [minute, undefined]) {
      const { key, ttl } = await inTime(async (mine, short) => {
        await store.increment(mine, 1, short)
        const sum = await store.increment(mine, 1, later)
        assert.equal(sum, 2, 'a counter with a ttl counts')
      })
      await expires(key, ttl, 'the ttl of a counter is never reset, prolonged or removed')
    }
  },

  'a ttl is not given to a counter that is there': async (subject) => {
    const { store, key, shortTtl, outlast, read } = subject
    const mine = key()
    await store.increment(mine, 1)
    await store.increment(mine, 1, shortTtl)
    await outlast(shortTtl)
    assert.equal(await read(mine), '2', 'the ttl of an increment applies on creation only')
  },

  'a refused increment leaves the ttl alone': async ({ store, item, inTime, expires }) => {
    const { key, ttl } = await inTime(async (mine, short) => {
      await store.set(mine, item('text'), short)
      await fails(
        'ERR_CACHE_REJECTED',
        () => store.increment(mine, 1, minute),
        'text is no counter',
      )
    })
    await expires(key, ttl, 'a refused increment changes nothing')
  },

  'a counter read through a cache is a number': async ({ key, cache }) => {
    const mine = key()
    const counters = cache()
    assert.equal(await counters.increment(mine, 3), 3, 'increment returns the sum')
    assert.equal(await counters.decrement(mine, 5), -2, 'decrement is increment by the negative')
    assert.equal(await counters.decrement(key(), 0), 0, 'there is no negative zero')
    assert.equal(await counters.get(mine), -2, 'a counter read with get is a number')
    assert.deepEqual(await counters.getMany([mine]), [-2], 'and with getMany')
    await counters.set(mine, 10)
    assert.equal(await counters.increment(mine), 11, 'a number that was set is a counter')
  },

  'a cache refuses to add what is no safe integer': async ({ key, cache, lives }) => {
    const mine = key()
    for (const by of [1.5, NaN, Infinity, 2 ** 53]) {
      await failsWithTypeError(() => cache().increment(mine, by), `increment by ${by}`)
      await failsWithTypeError(() => cache().decrement(mine, by), `decrement by ${by}`)
    }
    assert.equal(await lives(mine), false, 'a wrong call stores nothing')
  },
})
