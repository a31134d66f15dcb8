import assert from 'node:assert/strict'
import { type ConformanceCase, group } from './case.ts'

export const read: readonly ConformanceCase[] = group('read', {
  'get of a missing key is undefined': async ({ store, key }) => {
    assert.equal(await store.get(key()), undefined, 'a miss is undefined, not null or empty')
  },

  'get answers what was set': async ({ store, key, item, read }) => {
    const [one, two] = [key(), key()]
    await store.set(one, item('first'))
    await store.set(two, item('second'))
    assert.equal(await read(one), 'first', 'get answers what was set under its key')
    assert.equal(await read(two), 'second', 'get answers what was set under its key')
    assert.equal(await read(one), 'first', 'reading does not remove')
  },

  'an empty item is an item, not a miss': async ({ store, key, item, read, text }) => {
    const empty = key()
    await store.set(empty, item(''))
    assert.equal(await read(empty), '', 'get: an empty item is not a miss')
    const [found] = await store.getMany([empty])
    assert.equal(text(found), '', 'getMany: an empty item is not a miss')
    assert.equal(await store.add(empty, item('x')), false, 'add: an empty item is there')
  },

  'getMany keeps order, gaps and repeats': async ({ store, key, item, text }) => {
    const [a, b, c, gone] = [key('a'), key('b'), key('c'), key('gone')]
    for (const [name, each] of Object.entries({ a, b, c })) await store.set(each, item(name))
    const found = await store.getMany([c, gone, a, c, b, gone, a])
    assert.deepEqual(
      found.map(text),
      ['c', undefined, 'a', 'c', 'b', undefined, 'a'],
      'getMany answers in the order of the keys: a repeat is repeated, a miss is undefined',
    )
  },

  'getMany of misses only is as long as the keys': async ({ store, keys }) => {
    assert.deepEqual(
      [...(await store.getMany(keys(3)))],
      [undefined, undefined, undefined],
      'getMany has one answer per key',
    )
  },

  'getMany of no keys is an empty list': async ({ store }) => {
    assert.deepEqual(await store.getMany([]), [], 'getMany of nothing is nothing')
  },

  'getMany leaves the list of keys as it is': async ({ store, key }) => {
    const asked = [key('b'), key('a'), key('b')]
    const before = [...asked]
    await store.getMany(asked)
    await store.deleteMany(asked)
    assert.deepEqual(asked, before, 'an argument belongs to the caller')
  },
})
