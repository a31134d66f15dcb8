import assert from 'node:assert/strict'
import { strongRead } from '@stowage/core/internal'
import { type ConformanceCase, group } from '../support/case.ts'

export const read: readonly ConformanceCase[] = group('read', {
  'get returns undefined for a missing key': async ({ store, newKey }) => {
    assert.equal(await store.get(newKey()), undefined, 'a miss is undefined, not null or empty')
  },

  'get returns the item that set stored': async ({ store, newKey, item, read }) => {
    const [one, two] = [newKey(), newKey()]
    await store.set(one, item('first'))
    await store.set(two, item('second'))
    assert.equal(await read(one), 'first', 'get returns the item under its key')
    assert.equal(await read(two), 'second', 'get returns the item under its key')
    assert.equal(await read(one), 'first', 'get does not delete the item')
  },

  'an empty item is not a miss': async ({ store, newKey, item, read, textOf }) => {
    const key = newKey()
    await store.set(key, item(''))
    assert.equal(await read(key), '', 'get returns an empty item')
    const [found] = await store.getMany([key])
    assert.equal(textOf(found), '', 'getMany returns an empty item')
    assert.equal(await store.add(key, item('x')), false, 'add does not replace an empty item')
  },

  'getMany keeps order, repeats and gaps': async ({ store, newKey, item, textOf }) => {
    const [a, b, c, missing] = [newKey('a'), newKey('b'), newKey('c'), newKey('missing')]
    for (const [name, key] of Object.entries({ a, b, c })) await store.set(key, item(name))
    const found = await store.getMany([c, missing, a, c, b, missing, a])
    assert.deepEqual(
      found.map(textOf),
      ['c', undefined, 'a', 'c', 'b', undefined, 'a'],
      'getMany returns one result per key, in the order of the keys, and undefined for a miss',
    )
  },

  'getMany returns the item of a repeated key at each of its places': async (fixture) => {
    const { store, newKey, item, textOf } = fixture
    const texts: Record<string, string> = { [newKey()]: 'a', [newKey()]: 'b', [newKey()]: 'c' }
    const [a, b, c] = Object.keys(texts) as [string, string, string]
    const lists = [
      [a, a, b],
      [b, a, a],
      [a, b, a, c],
      [c, c],
      [a, b, c, c, b, a],
    ]
    for (const keys of lists) {
      // Written just before: a driver may read a fresh key in another way.
      for (const [key, text] of Object.entries(texts)) await store.set(key, item(text))
      for (const options of [undefined, { consistency: 'session' }, strongRead] as const) {
        const found = await store.getMany(keys, options)
        const expected = keys.map((key) => texts[key])
        assert.deepEqual(found.map(textOf), expected, 'every place has the item of its own key')
      }
    }
  },

  'getMany of missing keys returns one undefined per key': async ({ store, newKeys }) => {
    assert.deepEqual(
      [...(await store.getMany(newKeys(3)))],
      [undefined, undefined, undefined],
      'getMany returns one result per key',
    )
  },

  'getMany of no keys returns an empty array': async ({ store }) => {
    assert.deepEqual(await store.getMany([]), [], 'getMany([]) returns []')
  },

  'getMany and deleteMany do not modify the array of keys': async ({ store, newKey }) => {
    const keys = [newKey('b'), newKey('a'), newKey('b')]
    const before = [...keys]
    await store.getMany(keys)
    await store.deleteMany(keys)
    assert.deepEqual(keys, before, 'getMany and deleteMany leave the array unchanged')
  },
})
