import assert from 'node:assert/strict'
import { type ConformanceCase, group } from '../support/case.ts'

export const write: readonly ConformanceCase[] = group('write', {
  'set replaces the item': async ({ store, newKey, item, read }) => {
    const key = newKey()
    for (const value of ['a long first value', 'b', '', 'c']) {
      await store.set(key, item(value))
      assert.equal(await read(key), value, 'set replaces the whole item')
    }
  },

  'set replaces a counter': async ({ store, newKey, item, read }) => {
    const key = newKey()
    await store.increment(key, 5)
    await store.set(key, item('text'))
    assert.equal(await read(key), 'text', 'set replaces a counter')
  },

  'set and setMany return nothing': async ({ store, newKey, item }) => {
    const key = newKey()
    assert.equal(await store.set(key, item('x')), undefined, 'set returns undefined')
    assert.equal(await store.set(key, item('x'), 1_000), undefined, 'set with a ttl does as well')
    assert.equal(await store.setMany([[key, item('x')]]), undefined, 'setMany returns undefined')
  },

  'setMany stores every entry': async ({ store, newKeys, item, textOf, read }) => {
    const [one, two, other] = newKeys(3) as [string, string, string]
    await store.set(one, item('old'))
    await store.set(other, item('other'))
    await store.setMany([
      [one, item('1')],
      [two, item('2')],
    ])
    const found = (await store.getMany([one, two])).map(textOf)
    assert.deepEqual(found, ['1', '2'], 'setMany stores new items and replaces existing ones')
    assert.equal(await read(other), 'other', 'setMany does not change other keys')
  },

  'setMany stores the last item of a repeated key': async ({ store, newKey, item, read }) => {
    const [repeated, single] = [newKey(), newKey()]
    await store.setMany([
      [repeated, item('first')],
      [single, item('single')],
      [repeated, item('last')],
    ])
    assert.equal(await read(repeated), 'last', 'the last item of a repeated key is stored')
    assert.equal(await read(single), 'single', 'a repeated key does not affect other keys')
  },

  'setMany of no entries does nothing': async ({ store }) => {
    assert.equal(await store.setMany([]), undefined, 'setMany([]) succeeds')
    assert.equal(await store.setMany([], 1_000), undefined, 'setMany([], ttl) succeeds')
  },

  'delete returns whether the item existed': async ({ store, newKey, item, exists }) => {
    const [key, other] = [newKey(), newKey()]
    await store.set(key, item('x'))
    await store.set(other, item('x'))
    assert.equal(await store.delete(key), true, 'delete of an existing item returns true')
    assert.equal(await exists(key), false, 'delete removes the item')
    assert.equal(await store.delete(key), false, 'delete of a deleted key returns false')
    assert.equal(await store.delete(newKey()), false, 'delete of an unused key returns false')
    assert.equal(await exists(other), true, 'delete does not remove other keys')
  },

  'delete returns true for an empty item': async ({ store, newKey, item }) => {
    const key = newKey()
    await store.set(key, item(''))
    assert.equal(await store.delete(key), true, 'an empty item exists')
  },

  'deleteMany returns how many items existed': async (fixture) => {
    const { store, newKeys, item, exists } = fixture
    const [one, two, other, missing] = newKeys(4) as [string, string, string, string]
    for (const key of [one, two, other]) await store.set(key, item('x'))
    const count = await store.deleteMany([one, missing, two])
    assert.equal(count, 2, 'deleteMany counts the items that existed')
    assert.equal(await exists(one), false, 'deleteMany removes the first key')
    assert.equal(await exists(two), false, 'deleteMany removes the last key')
    assert.equal(await exists(other), true, 'deleteMany does not remove other keys')
    assert.equal(await store.deleteMany([one, missing]), 0, 'deleteMany of missing keys returns 0')
  },

  'deleteMany counts a repeated key once': async ({ store, newKey, item }) => {
    const [repeated, single] = [newKey(), newKey()]
    await store.set(repeated, item('x'))
    await store.set(single, item('x'))
    const count = await store.deleteMany([repeated, single, repeated, repeated])
    assert.equal(count, 2, 'deleteMany counts a repeated key once')
  },

  'deleteMany of no keys returns 0': async ({ store }) => {
    assert.equal(await store.deleteMany([]), 0, 'deleteMany([]) returns 0')
  },

  'a deleted key can be set again': async ({ store, newKey, item, read }) => {
    const key = newKey()
    await store.set(key, item('1'))
    await store.delete(key)
    await store.set(key, item('2'))
    assert.equal(await read(key), '2', 'set stores an item under a deleted key')
  },
})
