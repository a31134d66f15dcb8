import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type ConformanceCase, group } from '../support/case.ts'

const many = 1_000

export const batches: readonly ConformanceCase[] = group('batches', {
  'setMany, getMany and deleteMany take 1000 keys': async (fixture) => {
    const { store, newKeys, item, textOf, countExisting } = fixture
    const keys = newKeys(many)
    await store.setMany(keys.map((key, index) => [key, item(String(index))] as const))
    const found = await store.getMany(keys)
    const expected = keys.map((_, index) => String(index))
    assert.deepEqual(found.map(textOf), expected, 'a batch above the limit of the backend is split')
    assert.equal(await store.deleteMany(keys), many, 'deleteMany counts the items of all chunks')
    assert.equal(await countExisting(keys), 0, 'deleteMany deletes the items of all chunks')
  },

  'a large getMany keeps order, repeats and gaps': async (fixture) => {
    const { store, newKeys, item, textOf } = fixture
    const [existing, missing] = [newKeys(many / 2), newKeys(many / 2)]
    await store.setMany(existing.map((key, index) => [key, item(String(index))] as const))
    const keys = existing.flatMap((key, index) => [key, missing[index] as string]).reverse()
    const expected = existing.flatMap((_, index) => [String(index), undefined]).reverse()
    const found = await store.getMany([...keys, ...keys])
    assert.equal(found.length, 4 * existing.length, 'getMany returns one result per key')
    assert.deepEqual(
      found.map(textOf),
      [...expected, ...expected],
      'getMany keeps order, repeats and gaps across chunks',
    )
  },

  'a large getMany returns the items of repeated keys that all exist': async (fixture) => {
    const { store, newKeys, item, textOf } = fixture
    const existing = newKeys(many / 2)
    await store.setMany(existing.map((key, index) => [key, item(String(index))] as const))
    const keys = existing.flatMap((key) => [key, key])
    const expected = existing.flatMap((_, index) => [String(index), String(index)])
    const found = await store.getMany([...keys, ...existing])
    assert.deepEqual(
      found.map(textOf),
      [...expected, ...existing.map((_, index) => String(index))],
      'every place has the item of its own key',
    )
  },

  'a large setMany stores the last item of repeated keys': async (fixture) => {
    const { store, newKeys, item, textOf } = fixture
    const keys = newKeys(many / 4)
    const rounds = [0, 1, 2, 3].flatMap((round) =>
      keys.map((key, index) => [key, item(`${round}/${index}`)] as const),
    )
    await store.setMany(rounds)
    const expected = keys.map((_, index) => `3/${index}`)
    assert.deepEqual(
      (await store.getMany(keys)).map(textOf),
      expected,
      'the last item of a repeated key is stored, even if the keys are in different chunks',
    )
  },

  'a large deleteMany counts each existing key once': async ({ store, newKeys, item }) => {
    const [existing, missing] = [newKeys(many / 2), newKeys(many / 2)]
    await store.setMany(existing.map((key) => [key, item('x')] as const))
    const count = await store.deleteMany([...existing, ...missing, ...existing])
    assert.equal(count, existing.length, 'deleteMany counts existing keys, repeated ones once')
  },

  'a large setMany applies its ttl to all entries': async (fixture) => {
    const { store, newKeys, item, shortTtl, letExpire, countExisting } = fixture
    const keys = newKeys(many)
    await store.setMany(
      keys.map((key) => [key, item('x')] as const),
      shortTtl,
    )
    await letExpire(shortTtl)
    assert.equal(await countExisting(keys), 0, 'all entries of setMany expire')
  },

  'setMany and getMany split batches of large items': async (fixture) => {
    const { store, newKeys, isByteStore, sameItem } = fixture
    if (!isByteStore) return
    const size = Math.min(65_536, store.limits.valueBytes)
    const entries = newKeys(64).map((key) => [key, randomBytes(size)] as const)
    await store.setMany(entries)
    const found = await store.getMany(entries.map(([key]) => key))
    for (const [index, [, body]] of entries.entries()) {
      assert.ok(sameItem(found[index], body), 'a batch is split by size as well as by number')
    }
  },

  'concurrent batches do not mix their results': async ({ store, newKeys, item, textOf }) => {
    const batch = async (name: string) => {
      const keys = newKeys(50)
      await store.setMany(keys.map((key, index) => [key, item(`${name}${index}`)] as const))
      const found = (await store.getMany(keys)).map(textOf)
      assert.deepEqual(
        found,
        keys.map((_, index) => `${name}${index}`),
        'each getMany returns the items of its own keys',
      )
    }
    await Promise.all(Array.from({ length: 20 }, (_, index) => batch(`batch ${index}: `)))
  },

  'a cache reads, writes and deletes 1000 values in one call': async ({ newCache, newKeys }) => {
    const cache = newCache()
    const entries = newKeys(many).map((key, index) => [key, { index }] as const)
    await cache.setMany(entries)
    const keys = entries.map(([key]) => key)
    assert.deepEqual(
      await cache.getMany(keys),
      entries.map(([, value]) => value),
      'getMany returns all values',
    )
    assert.equal(await cache.deleteMany(keys), many, 'deleteMany counts all values')
  },
})
