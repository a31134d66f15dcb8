import assert from 'node:assert/strict'
import type { Cache, LoadContext, RememberOptions } from '@stowage/core'
import { collectKeys } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import { day } from '../support/fixture.ts'
import {
  holdLease,
  holdRefresh,
  newProcessCaches,
  newProcesses,
  patience,
  strong,
} from '../support/processes.ts'

type Write = (cache: Cache, key: string, tags: readonly string[]) => Promise<unknown>

/** Every method that stores a value with tags. */
const writes: Readonly<Record<string, Write>> = {
  set: (cache, key, tags) => cache.set(key, 'value', { tags }),
  setMany: (cache, key, tags) => cache.setMany([[key, 'value']], { tags }),
  add: (cache, key, tags) => cache.add(key, 'value', { tags }),
  update: (cache, key, tags) => cache.update(key, () => 'value', { tags }),
  replace: async (cache, key, tags) => {
    await cache.set(key, 'old')
    return cache.replace(key, 'value', { tags })
  },
  snapshot: async (cache, key, tags) => (await cache.snapshot(key)).replace('value', { tags }),
  remember: (cache, key, tags) => cache.remember(key, { tags }, () => 'value'),
  'remember with tags of the value': (cache, key, tags) =>
    cache.remember(key, { tags: () => tags }, () => 'value'),
  'remember with tags of the loader': (cache, key, tags) =>
    cache.remember(key, {}, addTags(tags, 'value')),
}
const writeNames = Object.keys(writes)

type Call = (cache: Cache, key: string) => Promise<unknown>

const tagged = { tags: ['t'] }

/** Calls for one key in one tick, what the last one returns, and the value that they leave. */
const sequences: Readonly<
  Record<string, readonly [calls: readonly Call[], result: unknown, left: unknown]>
> = {
  'set and delete': [
    [(cache, key) => cache.set(key, 1, tagged), (cache, key) => cache.delete(key)],
    true,
    undefined,
  ],
  'set and a set without tags': [
    [(cache, key) => cache.set(key, 1, tagged), (cache, key) => cache.set(key, 2)],
    undefined,
    2,
  ],
  'a set without tags and set': [
    [(cache, key) => cache.set(key, 1), (cache, key) => cache.set(key, 2, tagged)],
    undefined,
    2,
  ],
  'set and set': [
    [
      (cache, key) => cache.set(key, 1, { tags: ['t', 'other'] }),
      (cache, key) => cache.set(key, 2, tagged),
    ],
    undefined,
    2,
  ],
  'set, delete and add': [
    [
      (cache, key) => cache.set(key, 1, tagged),
      (cache, key) => cache.delete(key),
      (cache, key) => cache.add(key, 3, tagged),
    ],
    true,
    3,
  ],
  'add and setMany': [
    [(cache, key) => cache.add(key, 1, tagged), (cache, key) => cache.setMany([[key, 2]])],
    undefined,
    2,
  ],
  'setMany and deleteMany': [
    [
      (cache, key) => cache.setMany([[key, 1]], tagged),
      (cache, key) => cache.deleteMany([key, `${key} other`]),
    ],
    1,
    undefined,
  ],
  'set and get': [
    [(cache, key) => cache.set(key, 1, tagged), (cache, key) => cache.get(key, strong)],
    1,
    1,
  ],
  'set and remember': [
    [
      (cache, key) => cache.set(key, 1, tagged),
      (cache, key) => cache.remember(key, patience, () => 2),
    ],
    1,
    1,
  ],
  'set and clear': [
    [(cache, key) => cache.set(key, 1, tagged), (cache) => cache.clear()],
    undefined,
    undefined,
  ],
}

/** Names that a store might confuse. */
const names = [
  't',
  'T',
  't ',
  't:1',
  't/1',
  '~t',
  '%7Et',
  '\u00e9',
  'e\u0301',
  `long ${'x'.repeat(300)}1`,
  `long ${'x'.repeat(300)}2`,
]

function addTags<T>(tags: readonly string[], value: T) {
  return (context: LoadContext<T>) => {
    context.addTags(...tags)
    return value
  }
}

async function writeAll(cache: Cache, tags: readonly string[]): Promise<void> {
  for (const [name, write] of Object.entries(writes)) await write(cache, name, tags)
}

export const tags: readonly ConformanceCase[] = group('tags', {
  'invalidateTags in another process makes every value with the tag a miss': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    await writeAll(a, ['t', 'u'])
    await a.set('other', 'other', { tags: ['u'] })
    const before = await b.getMany(writeNames, strong)
    assert.deepEqual(new Set(before), new Set(['value']), 'values with tags are hits')
    await b.invalidateTags('t')
    for (const name of writeNames) {
      const rule = `a value of ${name} whose tag was invalidated`
      assert.equal(await a.get(name, strong), undefined, `get: ${rule}`)
      assert.equal(await b.has(name, strong), false, `has: ${rule}`)
    }
    const after = await a.getMany([...writeNames, 'other'], strong)
    assert.deepEqual(new Set(after.slice(0, -1)), new Set([undefined]), 'getMany: all are misses')
    assert.equal(after.at(-1), 'other', 'a value without the tag remains')
    await writeAll(b, ['t'])
    const again = await a.getMany(writeNames, strong)
    assert.deepEqual(new Set(again), new Set(['value']), 'invalidated values can be written again')
  },

  'each tag is invalidated separately': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    const keys = names.map((_, index) => `k${index}`)
    for (const [index, tag] of names.entries()) await a.set(`k${index}`, index, { tags: [tag] })
    for (const [index, tag] of names.entries()) {
      await b.invalidateTags([tag])
      const expected = names.map((_, other) => (other <= index ? undefined : other))
      const rule = `the tag ${JSON.stringify(tag)} differs from every other one`
      assert.deepEqual(await a.getMany(keys, strong), expected, rule)
    }
  },

  'calls of one tick keep their order, also if some of them write tags': async (fixture) => {
    for (const [name, [calls, result, left]] of Object.entries(sequences)) {
      const [cache] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
      const results = await Promise.all(calls.map((call) => call(cache, 'k')))
      assert.equal(results.at(-1), result, `${name}: the last call sees the others`)
      assert.equal(await cache.get('k', strong), left, `${name}: the last write is in effect`)
    }
  },

  'invalidateTags with stale: true makes values stale': async (fixture) => {
    const [a, b] = await newProcesses(fixture, { prefix: fixture.newKey('p:') })
    const options = { ttl: '1h', staleWhileRevalidate: '1h', tags: ['t'] } as const
    await a.cache.remember('k', options, () => 'old')
    await b.cache.invalidateTags('t', { stale: true })
    assert.equal(await b.cache.get('k', strong), undefined, 'a stale value is a miss')
    const value = await b.cache.remember('k', options, () => 'new')
    assert.equal(value, 'old', 'remember returns the stale value')
    await b.refreshed()
    assert.equal(await a.cache.get('k', strong), 'new', 'the stale value is refreshed')
  },

  'a value whose tag is invalidated during its load is not read afterwards': async (fixture) => {
    const tagged: Readonly<Record<string, RememberOptions<string>>> = {
      'known before the load': { tags: ['t'] },
      'known after the load': { tags: () => ['t'] },
    }
    for (const [kind, options] of Object.entries(tagged)) {
      const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
      await a.set('exists', 1, { tags: ['t'] })
      const load = await holdLease(a, 'k', options)
      await b.invalidateTags('t')
      assert.equal(await load.end('old'), 'old', 'the caller receives the loaded value')
      for (const cache of [a, b]) {
        assert.equal(await cache.get('k', strong), undefined, `a tag that is ${kind}`)
      }
      const value = await b.remember('k', { ...patience, ...options }, () => 'new')
      assert.equal(value, 'new', `a tag that is ${kind}: the value is loaded again`)
    }
  },

  'a refresh during which the tag is invalidated is not read afterwards': async (fixture) => {
    const [a, b] = await newProcesses(fixture, { prefix: fixture.newKey('p:') })
    const options = { ttl: '1h', staleWhileRevalidate: '1h', tags: ['t'] } as const
    await a.cache.remember('k', options, () => 'old')
    await a.cache.expire('k')
    const refresh = await holdRefresh(a, 'k', options)
    await b.cache.invalidateTags('t')
    await refresh.end('outdated')
    assert.equal(await b.cache.get('k', strong), undefined, 'the refreshed value is a miss')
  },

  'a value whose tag was lost is a miss for ever': async (fixture) => {
    const prefix = fixture.newKey('p:')
    const [a, b] = await newProcessCaches(fixture, { prefix })
    await a.set('k', 'old', { tags: ['t'] })
    assert.equal(await fixture.store.delete(`${prefix}~tag:t`), true, 'a tag is an item')
    for (const cache of [a, b]) {
      assert.equal(await cache.get('k', strong), undefined, 'a lost tag makes its values misses')
    }
    await a.set('other', 'new', { tags: ['t'] })
    assert.equal(await b.get('other', strong), 'new', 'a lost tag is created again')
    assert.equal(await b.get('k', strong), undefined, 'that does not make earlier values hits')
  },

  'the namespaces of a cache share its tags': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture, { prefix: fixture.newKey('p:') })
    await a.set('k', 1, { tags: ['t'] })
    await a.namespace('one').set('k', 2, { tags: ['t'] })
    await a
      .namespace('one')
      .namespace('two')
      .set('k', 3, { tags: ['t'] })
    await b.namespace('other').invalidateTags('t')
    assert.equal(await a.get('k', strong), undefined, 'the tag is that of the cache')
    for (const cache of [a.namespace('one'), a.namespace('one').namespace('two')]) {
      assert.equal(await cache.get('k', strong), undefined, 'the tag is that of its namespaces')
    }
  },

  'clear does not delete tags': async (fixture) => {
    const prefix = fixture.newKey('p:')
    const [a, b] = await newProcessCaches(fixture, { prefix })
    await a.namespace('one').set('k', 1, { tags: ['t'] })
    await a.namespace('two').set('k', 2, { tags: ['t'] })
    await b.namespace('one').clear()
    const [one, two] = [a.namespace('one'), a.namespace('two')]
    assert.equal(await one.get('k', strong), undefined, 'clear of a namespace deletes its values')
    assert.equal(await two.get('k', strong), 2, 'the values of others remain, with their tags')
    await b.clear()
    assert.equal(await two.get('k', strong), undefined, 'clear of a cache deletes its values')
    assert.ok(await fixture.exists(`${prefix}~tag:t`), 'clear of a cache does not delete its tags')
  },

  'keys lists values, but neither tags nor leases of refreshes': async (fixture) => {
    const { store, newKey, item } = fixture
    if (store.scan === undefined) return
    const [process] = await newProcesses(fixture, { prefix: newKey('p:') })
    const { cache } = process
    const options = { ttl: '1h', staleWhileRevalidate: '1h', tags: ['t'] } as const
    await store.set(newKey('outside'), item('x'))
    await cache.remember('k', options, () => 'old')
    await cache.namespace('n').set('~tag:t', 1, { tags: ['t'] })
    await cache.expire('k')
    const refresh = await holdRefresh(process, 'k', options)
    const listed = await collectKeys(onePage(cache.keys()))
    assert.deepEqual(new Set(listed), new Set(['k', 'n:%7Etag:t']), 'keys lists values only')
    const nested = await collectKeys(onePage(cache.namespace('n').keys()))
    assert.deepEqual(nested, ['~tag:t'], 'a namespace lists its own keys')
    await refresh.end('new')
  },

  'a tag lives for 30 days after its last use': async (fixture) => {
    const { exact, wait, newKey, store } = fixture
    if (!exact) return
    const prefix = newKey('p:')
    const options = { tags: ['t'], ttl: '90d' } as const
    const [cache] = await newProcessCaches(fixture, { prefix })
    await cache.set('k', 1, options)
    await wait(20 * day)
    const [later] = await newProcessCaches(fixture, { prefix })
    await later.set('other', 2, options)
    // The cache does not wait for the touch of the tag. Calls for one key take effect in order.
    await store.get(`${prefix}~tag:t`, strong)
    await wait(29 * day)
    assert.deepEqual(await cache.getMany(['k', 'other']), [1, 2], 'a write extends its tags')
    await wait(2 * day)
    assert.equal(await cache.get('k'), undefined, 'after 30 days, a tag is lost')
  },
})

async function* onePage(keys: AsyncIterable<string>): AsyncGenerator<readonly string[]> {
  for await (const key of keys) yield [key]
}
