import assert from 'node:assert/strict'
import type { Cache } from '@stowage/core'
import { ManualClock } from '../manual-clock.ts'
import { type ConformanceCase, group } from './case.ts'

/** Prefixes and names that a careless clear takes for each other. */
const neighbours = [
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
  'clear deletes everything in the store': async ({ store, keys, item, lives }) => {
    const mine = keys(300)
    await store.setMany(mine.map((key) => [key, item('x')] as const))
    const foreign = `foreign:${mine[0]}`
    await store.set(foreign, item('x'))
    await store.increment(`${foreign}:counter`, 1)
    await store.clear()
    const left = (await store.getMany(mine)).filter((each) => each !== undefined)
    assert.equal(left.length, 0, 'clear deletes everything')
    assert.equal(await lives(foreign), false, 'clear deletes foreign keys too')
    assert.equal(await lives(`${foreign}:counter`), false, 'clear deletes counters')
  },

  'a cleared store goes on': async ({ store, key, item, read }) => {
    const mine = key()
    await store.set(mine, item('old'))
    await store.clear()
    assert.equal(await store.add(mine, item('new')), true, 'after clear everything is absent')
    assert.equal(await read(mine), 'new', 'a cleared store takes new items')
    await store.clear()
    assert.equal(await store.clear(), undefined, 'clearing an empty store is no error')
  },

  'clear of a cache without prefix clears the store': async ({
    store,
    key,
    item,
    lives,
    cache,
  }) => {
    const mine = key()
    await store.set(mine, item('x'))
    await cache().clear()
    assert.equal(await lives(mine), false, 'a cache without prefix clears all')
  },

  'clear of a prefix touches nothing else': async (subject) => {
    const { key, cache, store, item, lives } = subject
    const start = key()
    const foreign = key('foreign')
    await store.set(foreign, item('x'))
    const caches = neighbours.map((name) => cache({ prefix: `${start}${name}:` }))
    await clearsAlone(caches)
    assert.equal(await lives(foreign), true, 'clear of a prefix leaves foreign keys alone')
  },

  'clear of a namespace touches nothing else': async ({ key, cache }) => {
    for (const root of [cache(), cache({ prefix: key('p:') })]) {
      const start = key()
      await clearsAlone(neighbours.map((name) => root.namespace(start + name)))
    }
  },

  'clear of a prefix reaches 1000 keys': async ({ key, cache, keys }) => {
    const cached = cache({ prefix: key('big:') })
    const all = keys(1_000)
    await cached.setMany(all.map((each) => [each, 1] as const))
    await cached.clear()
    const left = (await cached.getMany(all)).filter((each) => each !== undefined)
    assert.equal(left.length, 0, 'clear of a prefix reaches all of it')
  },

  'clear reaches counters, long keys and nested namespaces': async ({ key, cache }) => {
    const cached = cache({ prefix: key('all:') })
    const long = 'x'.repeat(5_000)
    const nested = cached.namespace('a').namespace('b')
    await cached.increment('counter', 5)
    await cached.set(long, 1)
    await cached.set('\ud800', 1)
    await nested.set('deep', 1)
    await cached.clear()
    assert.equal(await cached.increment('counter'), 1, 'clear reaches counters')
    assert.equal(await cached.get(long), undefined, 'clear reaches shortened keys')
    assert.equal(await cached.get('\ud800'), undefined, 'clear reaches shortened keys')
    assert.equal(await nested.get('deep'), undefined, 'clear reaches the namespaces within')
  },

  'a namespace is a cache of its own': async ({ key, cache }) => {
    const root = cache({ prefix: key('root:') })
    const [users, pages] = [root.namespace('users'), root.namespace('pages')]
    const nested = users.namespace('old')
    for (const [name, cached] of Object.entries({ root, users, pages, nested })) {
      await cached.set('same', name)
    }
    for (const [name, cached] of Object.entries({ root, users, pages, nested })) {
      assert.equal(await cached.get('same'), name, 'the same key in two namespaces is two keys')
    }
    assert.equal(
      await root.namespace('users').get('same'),
      'users',
      'the same name is the same cache',
    )
    await users.clear()
    assert.equal(await root.get('same'), 'root', 'clear of a namespace leaves its parent alone')
    assert.equal(
      await pages.get('same'),
      'pages',
      'clear of a namespace leaves its neighbour alone',
    )
    assert.equal(await nested.get('same'), undefined, 'clear of a namespace reaches those within')
  },

  'a cleared prefix goes on': async ({ key, cache }) => {
    const cached = cache({ prefix: key('again:') })
    for (const round of [1, 2, 3]) {
      assert.equal(await cached.add('a', round), true, 'after clear everything is absent')
      assert.equal(await cached.get('a'), round, 'a cleared prefix takes new values')
      await cached.clear()
    }
  },

  'a clear is seen by others within a second': async ({ key, cache }) => {
    const clock = new ManualClock()
    const prefix = key('shared:')
    const [mine, theirs] = [cache({ prefix, clock }), cache({ prefix, clock })]
    await mine.set('a', 1)
    assert.equal(await theirs.get('a'), 1, 'caches of one prefix share their entries')
    await mine.clear()
    await clock.advance(1_000)
    assert.equal(await theirs.get('a'), undefined, 'a clear is seen by others within a second')
    await theirs.set('a', 2)
    assert.equal(await mine.get('a'), 2, 'after a clear they share their entries again')
  },
})

/** Asserts that clearing one of the caches empties it and leaves the others as they are. */
async function clearsAlone(caches: readonly Cache[]): Promise<void> {
  for (const [index, cleared] of caches.entries()) {
    for (const cached of caches) await cached.set('a', 1)
    await cleared.clear()
    for (const [other, cached] of caches.entries()) {
      const expected = other === index ? undefined : 1
      const name = JSON.stringify(neighbours[other])
      const by = JSON.stringify(neighbours[index])
      assert.equal(
        await cached.get('a'),
        expected,
        `${name} after clear of ${by}: only its own goes`,
      )
    }
  }
}
