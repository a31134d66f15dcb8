import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type ConformanceCase, group } from './case.ts'

const many = 1_000

export const batches: readonly ConformanceCase[] = group('batches', {
  '1000 items are set, got and deleted at once': async ({ store, keys, item, text }) => {
    const all = keys(many)
    await store.setMany(all.map((key, index) => [key, item(String(index))] as const))
    const found = await store.getMany(all)
    const expected = all.map((_, index) => String(index))
    assert.deepEqual(found.map(text), expected, 'a batch larger than the backend takes is split')
    assert.equal(await store.deleteMany(all), many, 'deleteMany counts across the parts of a batch')
    const left = (await store.getMany(all)).filter((each) => each !== undefined)
    assert.equal(left.length, 0, 'deleteMany deletes across the parts of a batch')
  },

  'a large getMany keeps order, gaps and repeats': async ({ store, keys, item, text }) => {
    const [there, gone] = [keys(many / 2), keys(many / 2)]
    await store.setMany(there.map((key, index) => [key, item(String(index))] as const))
    const asked = there.flatMap((key, index) => [key, gone[index] as string]).reverse()
    const expected = there.flatMap((_, index) => [String(index), undefined]).reverse()
    const found = await store.getMany([...asked, ...asked])
    assert.equal(found.length, 4 * there.length, 'getMany has one answer per key')
    assert.deepEqual(
      found.map(text),
      [...expected, ...expected],
      'order, gaps and repeats are kept',
    )
  },

  'a large setMany with repeated keys: the last wins': async ({ store, keys, item, text }) => {
    const all = keys(many / 4)
    const rounds = [0, 1, 2, 3].flatMap((round) =>
      all.map((key, index) => [key, item(`${round}/${index}`)] as const),
    )
    await store.setMany(rounds)
    const expected = all.map((_, index) => `3/${index}`)
    assert.deepEqual(
      (await store.getMany(all)).map(text),
      expected,
      'the last of a repeated key wins',
    )
  },

  'a large deleteMany counts repeats and gaps right': async ({ store, keys, item }) => {
    const [there, gone] = [keys(many / 2), keys(many / 2)]
    await store.setMany(there.map((key) => [key, item('x')] as const))
    const count = await store.deleteMany([...there, ...gone, ...there])
    assert.equal(count, there.length, 'deleteMany counts the living, each once')
  },

  'a large setMany gives its ttl to all': async ({ store, keys, item, shortTtl, outlast }) => {
    const all = keys(many)
    await store.setMany(
      all.map((key) => [key, item('x')] as const),
      shortTtl,
    )
    await outlast(shortTtl)
    const left = (await store.getMany(all)).filter((each) => each !== undefined)
    assert.equal(left.length, 0, 'setMany: one ttl for all')
  },

  'batches of large items': async ({ store, keys, bytes, same }) => {
    if (!bytes) return
    const size = Math.min(65_536, store.limits.valueBytes)
    const entries = keys(64).map((key) => [key, randomBytes(size)] as const)
    await store.setMany(entries)
    const found = await store.getMany(entries.map(([key]) => key))
    for (const [index, [, body]] of entries.entries()) {
      assert.ok(same(found[index], body), 'a batch of large items is split by size too')
    }
  },

  'batches at the same time do not mix': async ({ store, keys, item, text }) => {
    const batch = async (name: string) => {
      const mine = keys(50)
      await store.setMany(mine.map((key, index) => [key, item(`${name}${index}`)] as const))
      const found = (await store.getMany(mine)).map(text)
      assert.deepEqual(
        found,
        mine.map((_, index) => `${name}${index}`),
        'every caller gets its own',
      )
    }
    await Promise.all(Array.from({ length: 20 }, (_, index) => batch(`batch ${index}: `)))
  },

  'a cache reads and writes 1000 values at once': async ({ cache, keys }) => {
    const cached = cache()
    const entries = keys(many).map((key, index) => [key, { index }] as const)
    await cached.setMany(entries)
    const all = entries.map(([key]) => key)
    assert.deepEqual(
      await cached.getMany(all),
      entries.map(([, value]) => value),
      'all come back',
    )
    assert.equal(await cached.deleteMany(all), many, 'all are counted')
  },
})
