import assert from 'node:assert/strict'
import { type ConformanceCase, group } from './case.ts'

export const write: readonly ConformanceCase[] = group('write', {
  'set replaces whatever was there': async ({ store, key, item, read }) => {
    const mine = key()
    for (const value of ['a long first value', 'b', '', 'c']) {
      await store.set(mine, item(value))
      assert.equal(await read(mine), value, 'set replaces the whole item')
    }
  },

  'set replaces a counter, and a counter follows it': async ({ store, key, item, read }) => {
    const mine = key()
    await store.increment(mine, 5)
    await store.set(mine, item('text'))
    assert.equal(await read(mine), 'text', 'set replaces a counter')
  },

  'setMany stores each entry and replaces': async ({ store, keys, item, text, read }) => {
    const [one, two, other] = keys(3) as [string, string, string]
    await store.set(one, item('old'))
    await store.set(other, item('other'))
    await store.setMany([
      [one, item('1')],
      [two, item('2')],
    ])
    const found = (await store.getMany([one, two])).map(text)
    assert.deepEqual(found, ['1', '2'], 'setMany is set for each entry')
    assert.equal(await read(other), 'other', 'setMany leaves other keys alone')
  },

  'setMany of a key given twice: the last wins': async ({ store, key, item, read }) => {
    const [twice, once] = [key(), key()]
    await store.setMany([
      [twice, item('first')],
      [once, item('once')],
      [twice, item('last')],
    ])
    assert.equal(await read(twice), 'last', 'of a repeated key in setMany the last wins')
    assert.equal(await read(once), 'once', 'a repeated key does not disturb the others')
  },

  'setMany of nothing does nothing': async ({ store }) => {
    assert.equal(await store.setMany([]), undefined, 'setMany of nothing resolves')
    assert.equal(await store.setMany([], 1_000), undefined, 'setMany of nothing resolves')
  },

  'delete removes and says whether something was there': async ({ store, key, item, lives }) => {
    const [mine, other] = [key(), key()]
    await store.set(mine, item('x'))
    await store.set(other, item('x'))
    assert.equal(await store.delete(mine), true, 'delete of a living item is true')
    assert.equal(await lives(mine), false, 'delete removes the item')
    assert.equal(await store.delete(mine), false, 'delete of nothing is false')
    assert.equal(await store.delete(key()), false, 'delete of nothing is false')
    assert.equal(await lives(other), true, 'delete leaves other keys alone')
  },

  'delete counts an empty item': async ({ store, key, item }) => {
    const mine = key()
    await store.set(mine, item(''))
    assert.equal(await store.delete(mine), true, 'an empty item is there to be deleted')
  },

  'deleteMany removes and counts the living ones': async (subject) => {
    const { store, keys, item, lives } = subject
    const [one, two, other, gone] = keys(4) as [string, string, string, string]
    for (const each of [one, two, other]) await store.set(each, item('x'))
    assert.equal(await store.deleteMany([one, gone, two]), 2, 'deleteMany counts what was there')
    assert.equal(await lives(one), false, 'deleteMany removes')
    assert.equal(await lives(two), false, 'deleteMany removes')
    assert.equal(await lives(other), true, 'deleteMany leaves other keys alone')
    assert.equal(await store.deleteMany([one, gone]), 0, 'deleteMany of misses counts none')
  },

  'deleteMany counts a repeated key once': async ({ store, key, item }) => {
    const [twice, once] = [key(), key()]
    await store.set(twice, item('x'))
    await store.set(once, item('x'))
    const count = await store.deleteMany([twice, once, twice, twice])
    assert.equal(count, 2, 'a repeated key counts once in deleteMany')
  },

  'deleteMany of nothing counts none': async ({ store }) => {
    assert.equal(await store.deleteMany([]), 0, 'deleteMany of nothing is 0')
  },

  'a deleted key can be set again': async ({ store, key, item, read }) => {
    const mine = key()
    await store.set(mine, item('1'))
    await store.delete(mine)
    await store.set(mine, item('2'))
    assert.equal(await read(mine), '2', 'a deleted key is as good as a new one')
  },
})
