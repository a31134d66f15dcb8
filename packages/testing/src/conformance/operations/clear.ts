import assert from 'node:assert/strict'
import type { Cache } from '@stowage/core'
import { ManualClock } from '../../manual-clock.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import { newWidePrefixes } from '../support/fixture.ts'

/** Names that a clear by pattern or by a plain prefix may confuse. */
const similarNames = [
  'user',
  'user2',
  'use',
  'User',
  'user*',
  'us?r',
  '[u]ser',
  'user\\',
  '.*',
  'u%',
  'us_r',
]

export const clear: readonly ConformanceCase[] = group('clear', {
  'clear deletes everything in the store': async (fixture) => {
    const { store, newKeys, item, exists, countExisting } = fixture
    const keys = newKeys(300)
    await store.setMany(keys.map((key) => [key, item('x')] as const))
    const foreign = `foreign:${keys[0]}`
    await store.set(foreign, item('x'))
    await store.increment(`${foreign}:counter`, 1)
    await store.clear()
    assert.equal(await countExisting(keys), 0, 'clear deletes all keys')
    assert.equal(await exists(foreign), false, 'clear deletes keys with another prefix')
    assert.equal(await exists(`${foreign}:counter`), false, 'clear deletes counters')
  },

  'a store can be used after clear': async ({ store, newKey, item, read }) => {
    const key = newKey()
    await store.set(key, item('old'))
    await store.clear()
    assert.equal(await store.add(key, item('new')), true, 'all keys are missing after clear')
    assert.equal(await read(key), 'new', 'a cleared store keeps new items')
    await store.clear()
    assert.equal(await store.clear(), undefined, 'clear of an empty store succeeds')
  },

  'clear of a cache without a prefix clears the store': async (fixture) => {
    const { store, newKey, item, exists, newCache } = fixture
    const key = newKey()
    await store.set(key, item('x'))
    await newCache().clear()
    assert.equal(await exists(key), false, 'clear of a cache without a prefix deletes all keys')
  },

  'clear of a prefix does not affect other keys': async (fixture) => {
    const { newKey, newCache, store, item, exists } = fixture
    const start = newKey()
    const foreign = newKey('foreign')
    await store.set(foreign, item('x'))
    const caches = similarNames.map((name) => newCache({ prefix: `${start}${name}:` }))
    await assertClearsOnlyItself(caches)
    assert.equal(await exists(foreign), true, 'clear of a prefix does not delete other keys')
  },

  'clear of a prefix beyond ASCII and the BMP deletes its own keys': async (fixture) => {
    const { newKey, newCache } = fixture
    const prefixes = newWidePrefixes(newKey)
    await assertClearsOnlyItself(
      prefixes.map((prefix) => newCache({ prefix })),
      prefixes,
    )
  },

  'clear empties the store for other stores too': async (fixture) => {
    const { store, newKeys, item, createSharedStore } = fixture
    const second = await createSharedStore()
    if (second === undefined) return
    const [one, two] = newKeys(2) as [string, string]
    await store.set(one, item('x'))
    await second.set(two, item('x'))
    await second.get(one)
    await store.clear()
    const found = await second.getMany([one, two], { consistency: 'strong' })
    assert.deepEqual([...found], [undefined, undefined], 'clear deletes the items of other stores')
    assert.equal(await second.add(one, item('y')), true, 'the key is missing in other stores')
  },

  'clear of a namespace does not affect other keys': async ({ newKey, newCache }) => {
    for (const root of [newCache(), newCache({ prefix: newKey('p:') })]) {
      const start = newKey()
      await assertClearsOnlyItself(similarNames.map((name) => root.namespace(start + name)))
    }
  },

  'clear of a prefix deletes 1000 keys': async ({ newKey, newCache, newKeys }) => {
    const cache = newCache({ prefix: newKey('big:') })
    const keys = newKeys(1_000)
    await cache.setMany(keys.map((key) => [key, 1] as const))
    await cache.clear()
    const left = (await cache.getMany(keys)).filter((value) => value !== undefined)
    assert.equal(left.length, 0, 'clear of a prefix deletes all of its keys')
  },

  'clear deletes counters, shortened keys and nested namespaces': async (fixture) => {
    const cache = fixture.newCache({ prefix: fixture.newKey('all:') })
    const longKey = 'x'.repeat(5_000)
    const nested = cache.namespace('a').namespace('b')
    await cache.increment('counter', 5)
    await cache.set(longKey, 1)
    await cache.set('\ud800', 1)
    await nested.set('deep', 1)
    await cache.clear()
    assert.equal(await cache.increment('counter'), 1, 'clear deletes counters')
    assert.equal(await cache.get(longKey), undefined, 'clear deletes long keys')
    assert.equal(await cache.get('\ud800'), undefined, 'clear deletes keys with lone surrogates')
    assert.equal(await nested.get('deep'), undefined, 'clear deletes nested namespaces')
  },

  'namespaces keep their keys apart': async ({ newKey, newCache }) => {
    const root = newCache({ prefix: newKey('root:') })
    const [users, pages] = [root.namespace('users'), root.namespace('pages')]
    const nested = users.namespace('old')
    for (const [name, cache] of Object.entries({ root, users, pages, nested })) {
      await cache.set('same', name)
    }
    for (const [name, cache] of Object.entries({ root, users, pages, nested })) {
      assert.equal(await cache.get('same'), name, 'each namespace has its own value under a key')
    }
    assert.equal(
      await root.namespace('users').get('same'),
      'users',
      'the same name is the same namespace',
    )
    await users.clear()
    assert.equal(await root.get('same'), 'root', 'clear of a namespace keeps its parent')
    assert.equal(await pages.get('same'), 'pages', 'clear of a namespace keeps its siblings')
    assert.equal(await nested.get('same'), undefined, 'clear of a namespace deletes nested ones')
  },

  'a prefix can be used after clear': async ({ newKey, newCache }) => {
    const cache = newCache({ prefix: newKey('again:') })
    for (const round of [1, 2, 3]) {
      assert.equal(await cache.add('a', round), true, 'all keys are missing after clear')
      assert.equal(await cache.get('a'), round, 'a cleared prefix keeps new values')
      await cache.clear()
    }
  },

  'a clear takes effect in other caches within a second': async ({ newKey, newCache }) => {
    const clock = new ManualClock()
    const prefix = newKey('shared:')
    const [first, second] = [newCache({ prefix, clock }), newCache({ prefix, clock })]
    await first.set('a', 1)
    assert.equal(await second.get('a'), 1, 'caches with the same prefix share their entries')
    await first.clear()
    await clock.advance(1_000)
    assert.equal(await second.get('a'), undefined, 'other caches notice a clear within a second')
    await second.set('a', 2)
    assert.equal(await first.get('a'), 2, 'caches share their entries after a clear')
  },
})

/** Asserts that clearing one of the caches deletes its entries and keeps those of the others. */
async function assertClearsOnlyItself(
  caches: readonly Cache[],
  names: readonly string[] = similarNames,
): Promise<void> {
  for (const [cleared, target] of caches.entries()) {
    await Promise.all(caches.map((cache) => cache.set('a', 1)))
    await target.clear()
    const values = await Promise.all(caches.map((cache) => cache.get('a')))
    for (const [index, value] of values.entries()) {
      const expected = index === cleared ? undefined : 1
      const [own, other] = [names[cleared], names[index]].map((name) => JSON.stringify(name))
      assert.equal(value, expected, `clear of ${own} deletes only its own entries: ${other}`)
    }
  }
}
