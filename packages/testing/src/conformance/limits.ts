import assert from 'node:assert/strict'
import { type ConformanceCase, group } from './case.ts'
import { fails } from './expect.ts'
import type { Subject } from './subject.ts'

const mebibyte = 1_048_576
/** Beyond this a test would measure the machine. */
const reachable = 8 * mebibyte

export const limits: readonly ConformanceCase[] = group('limits', {
  'a store says who it is and what it allows': async ({ store }) => {
    assert.ok(typeof store.name === 'string' && store.name !== '', 'name: the name of the driver')
    assert.ok(['bytes', 'entry'].includes(store.payload), "payload: 'bytes' or 'entry'")
    const { keyBytes, valueBytes, ttlStep } = store.limits
    assert.ok(keyBytes >= 128, 'limits.keyBytes: room for a prefix and a digest')
    assert.ok(valueBytes > 0, 'limits.valueBytes: a number of bytes, or Infinity')
    assert.ok(Number.isSafeInteger(ttlStep) && ttlStep >= 1, 'limits.ttlStep: whole milliseconds')
  },

  'items up to the limit are taken': async (subject) => {
    const limit = measured(subject)
    for (const size of limit === undefined ? [mebibyte] : [limit - 1, limit]) {
      await taken(subject, size)
    }
  },

  'set beyond the limit: an error, and the old item is gone': async (subject) => {
    const { store, key, item, lives } = subject
    const limit = measured(subject)
    if (limit === undefined) return taken(subject, mebibyte)
    for (const excess of [1, limit]) {
      const mine = key()
      await store.set(mine, item('old'))
      const call = () => store.set(mine, item(text(limit + excess)))
      const error = await fails('ERR_CACHE_LIMIT', call, 'set beyond limits.valueBytes')
      assert.equal(error.operation, 'set', 'the error names the operation')
      assert.equal(
        await lives(mine),
        false,
        'after a set that was too large nothing stale is served',
      )
    }
  },

  'setMany beyond the limit: an error, and the old item is gone': async (subject) => {
    const { store, key, item, lives } = subject
    const limit = measured(subject)
    if (limit === undefined) return taken(subject, mebibyte)
    const [mine, other, fits] = [key(), key(), key()]
    await store.set(mine, item('old'))
    await store.set(other, item('old'))
    const call = () =>
      store.setMany([
        [fits, item('x')],
        [mine, item(text(limit + 1))],
        [other, item(text(limit + 1))],
      ])
    await fails('ERR_CACHE_LIMIT', call, 'setMany beyond limits.valueBytes')
    assert.deepEqual(
      [await lives(mine), await lives(other)],
      [false, false],
      'after a setMany that was too large nothing stale is served, of none of its entries',
    )
  },

  'add beyond the limit: an error, and nothing is stored': async (subject) => {
    const { store, key, item, lives } = subject
    const limit = measured(subject)
    if (limit === undefined) return taken(subject, mebibyte)
    const mine = key()
    const call = () => store.add(mine, item(text(limit + 1)))
    await fails('ERR_CACHE_LIMIT', call, 'add beyond limits.valueBytes')
    assert.equal(await lives(mine), false, 'an add that was too large stores nothing')
  },

  'compareAndSet beyond the limit: an error, and nothing is stored': async (subject) => {
    const { store, key, item, read } = subject
    const limit = measured(subject)
    if (limit === undefined) return taken(subject, mebibyte)
    const mine = key()
    const old = item('old')
    await store.set(mine, old)
    const call = () => store.compareAndSet(mine, old, item(text(limit + 1)))
    await fails('ERR_CACHE_LIMIT', call, 'compareAndSet beyond limits.valueBytes')
    const left = await read(mine)
    assert.ok(left === undefined || left === 'old', 'nothing too large is stored, not even in part')
  },

  'the limit counts bytes, not characters': async (subject) => {
    const { store, key, bytes } = subject
    const limit = measured(subject)
    if (!bytes) return
    const wide = '\u20ac'.repeat(Math.ceil(((limit ?? mebibyte) + 1) / 3))
    const mine = key()
    if (limit === undefined) await store.set(mine, wide)
    else await fails('ERR_CACHE_LIMIT', () => store.set(mine, wide), 'a limit is in UTF-8 bytes')
  },

  'a cache passes the error on and serves nothing stale': async (subject) => {
    const { key, cache } = subject
    const limit = measured(subject)
    const cached = cache()
    const mine = key()
    await cached.set(mine, 'old')
    if (limit === undefined) return cached.set(mine, text(mebibyte))
    const rule = 'a value beyond the limit'
    await fails('ERR_CACHE_LIMIT', () => cached.set(mine, text(limit)), rule)
    assert.equal(await cached.get(mine), undefined, 'nothing stale is served')
  },
})

/** The limit in bytes, or `undefined` where none is in reach of a test. */
function measured({ store, bytes }: Subject): number | undefined {
  const { valueBytes } = store.limits
  return bytes && valueBytes <= reachable ? valueBytes : undefined
}

function text(bytes: number): string {
  return 'x'.repeat(bytes)
}

/** Asserts that an item of that size can be written in every way, and comes back. */
async function taken({ store, key, item, read, same }: Subject, size: number) {
  const large = item(text(size))
  const [set, many, added, swapped] = [key(), key(), key(), key()]
  const old = item('old')
  await store.set(set, large)
  await store.setMany([[many, large]])
  assert.equal(await store.add(added, large), true, `add takes ${size} bytes`)
  await store.set(swapped, old)
  assert.equal(
    await store.compareAndSet(swapped, old, large),
    true,
    `compareAndSet takes ${size} bytes`,
  )
  for (const mine of [set, many, added, swapped]) {
    assert.ok(same(await store.get(mine), large), `an item of ${size} bytes comes back whole`)
  }
  assert.equal((await read(set))?.length, size, `an item of ${size} bytes comes back whole`)
}
