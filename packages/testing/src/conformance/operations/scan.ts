import assert from 'node:assert/strict'
import { assertCacheError, collectKeys } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import { type AnyStore, type Fixture, newWidePrefixes } from '../support/fixture.ts'

type Scan = (prefix: string) => Promise<string[]>

/** Creates a check that applies only to stores with a `scan` method. */
function ifSupported(
  check: (scan: Scan, fixture: Fixture, store: Required<AnyStore>) => Promise<void>,
) {
  return async (fixture: Fixture) => {
    const { store } = fixture
    if (store.scan === undefined) return
    const scanAll = (prefix: string) => collectKeys(pages(store, prefix))
    await check(scanAll, fixture, store as Required<AnyStore>)
  }
}

function pages(store: AnyStore, prefix: string): AsyncIterable<readonly string[]> {
  assert.ok(store.scan !== undefined)
  return store.scan(prefix)
}

/** Prefixes with characters that are special in patterns. */
const patternPrefixes = [
  '*',
  '?',
  '[a]',
  '[^b]',
  'a\\',
  '\\*',
  '.',
  '^',
  '%',
  '_',
  '(',
  '{a,b}',
  'x:*',
  '$',
]

export const scan: readonly ConformanceCase[] = group('scan', {
  'scan lists the keys with the prefix': ifSupported(async (scan, { newKey, item }, store) => {
    const [inside, outside] = [newKey('in:'), newKey('out:')]
    const keys = ['a', 'b', '', 'c:d'].map((end) => inside + end)
    for (const key of [...keys, `${outside}a`, `x${inside}a`]) await store.set(key, item('x'))
    const found = await scan(inside)
    assert.deepEqual(sorted(found), sorted(keys), 'scan lists the keys that begin with the prefix')
    assert.deepEqual(await scan(newKey('none:')), [], 'scan of an unused prefix lists nothing')
    assert.deepEqual(await scan(keys[0] as string), [keys[0]], 'a key is a prefix of itself')
  }),

  'scan matches the prefix literally': ifSupported(async (scan, { newKey, item }, store) => {
    const start = newKey('g:')
    const otherEnds = ['a', 'b', 'ab', 'abc', 'x:a', '-', 'aa', 'A']
    for (const end of otherEnds) await store.set(start + end, item('x'))
    for (const pattern of patternPrefixes) {
      const key = `${start}${pattern}:1`
      await store.set(key, item('x'))
      const found = await scan(`${start}${pattern}:`)
      assert.deepEqual(found, [key], `scan matches ${JSON.stringify(pattern)} literally`)
    }
  }),

  'scan matches prefixes beyond ASCII and the BMP': ifSupported(
    async (scan, { newKey, item }, store) => {
      for (const prefix of newWidePrefixes(newKey)) {
        const keys = ['a', 'b', '\u{1f600}', ''].map((end) => prefix + end)
        for (const key of keys) await store.set(key, item('x'))
        const found = await scan(prefix)
        assert.deepEqual(sorted(found), sorted(keys), `scan lists the keys of ${prefix}`)
      }
    },
  ),

  'scan distinguishes upper and lower case': ifSupported(async (scan, { newKey, item }, store) => {
    const start = newKey('case:')
    await store.set(`${start}User`, item('x'))
    await store.set(`${start}user`, item('x'))
    assert.deepEqual(await scan(`${start}u`), [`${start}user`], 'a prefix is compared exactly')
  }),

  'scan returns keys exactly as they were set': ifSupported(
    async (scan, { newKey, item }, store) => {
      const start = newKey('odd:')
      const ends = [
        ' ',
        ' a ',
        'a\nb',
        '\0',
        '\u00e9',
        'e\u0301',
        '\u{1f600}',
        '"',
        "'",
        '%20',
        '\\n',
      ]
      for (const end of ends) await store.set(start + end, item('x'))
      const expected = ends.map((end) => start + end)
      assert.deepEqual(sorted(await scan(start)), sorted(expected), 'scan returns keys unchanged')
    },
  ),

  'scan lists 1200 keys on several pages': ifSupported(async (scan, { newKey, item }, store) => {
    const start = newKey('many:')
    const keys = Array.from({ length: 1_200 }, (_, index) => `${start}${index}`)
    await store.setMany(keys.map((key) => [key, item('x')] as const))
    assert.deepEqual(sorted(await scan(start)), sorted(keys), 'scan lists the keys of all pages')
  }),

  'scan of the empty prefix lists all keys': ifSupported(async (scan, { newKey, item }, store) => {
    const keys = [newKey('a'), newKey('b'), `other:${newKey()}`]
    for (const key of keys) await store.set(key, item('x'))
    const found = await scan('')
    for (const key of keys) {
      assert.ok(found.includes(key), 'scan of the empty prefix lists every key')
    }
  }),

  'scan does not list deleted keys': ifSupported(async (scan, { newKey, item }, store) => {
    const start = newKey('del:')
    await store.setMany(['a', 'b', 'c'].map((end) => [start + end, item('x')] as const))
    await store.delete(`${start}a`)
    await store.deleteMany([`${start}b`])
    assert.deepEqual(await scan(start), [`${start}c`], 'scan lists existing keys only')
  }),

  'scan lists counters': ifSupported(async (scan, { newKey }, store) => {
    const key = newKey('count')
    await store.increment(key, 1)
    assert.deepEqual(await scan(key), [key], 'scan lists a counter')
  }),

  'scan lists every key that exists during the whole scan': ifSupported(
    async (_scan, { newKey, item }, store) => {
      const start = newKey('moving:')
      const keys = Array.from({ length: 1_000 }, (_, index) => `${start}${index % 2}:${index}`)
      await store.setMany(keys.map((key) => [key, item('x')] as const))
      const found = new Set<string>()
      for await (const page of pages(store, start)) {
        for (const key of page) found.add(key)
        await store.deleteMany(page.filter((key) => key.startsWith(`${start}1:`)))
        await store.set(`${start}new:${found.size}`, item('x'))
      }
      const missed = keys.filter((key) => key.startsWith(`${start}0:`) && !found.has(key))
      assert.equal(missed.length, 0, 'deleting and adding keys meanwhile hides no other key')
    },
  ),

  'a scan can be stopped early': ifSupported(async (scan, { newKey, item }, store) => {
    const start = newKey('early:')
    const keys = Array.from({ length: 500 }, (_, index) => `${start}${index}`)
    await store.setMany(keys.map((key) => [key, item('x')] as const))
    for await (const page of pages(store, start)) if (page.length > 0) break
    assert.equal((await scan(start)).length, 500, 'the next scan starts from the beginning')
  }),

  'a cache lists its own keys without the prefix': ifSupported(
    async (_scan, { newKey, newCache }) => {
      const cache = newCache({ prefix: newKey('glob[*]?:') })
      const other = newCache({ prefix: newKey('glob') })
      await other.set('foreign', 1)
      const keys = ['a', 'b*', ' c', 'sub:d']
      for (const key of keys) await cache.set(key, 1)
      const found: string[] = []
      for await (const key of cache.keys()) found.push(key)
      assert.deepEqual(sorted(found), sorted(keys), 'keys() lists the keys of this cache')
    },
  ),

  'keys() fails if the store has no scan': async ({ store, newKey, newCache }) => {
    if (store.scan !== undefined) return
    const root = newCache()
    const prefixed = newCache({ prefix: newKey('p:') })
    for (const cache of [root, prefixed, root.namespace(newKey('n'))]) {
      const call = () => cache.keys().next()
      const rule = 'keys() of a store without scan is unsupported'
      const error = await assertCacheError('ERR_CACHE_UNSUPPORTED', call, rule)
      assert.equal(error.store, store.name, 'the error names the store')
    }
  },
})

function sorted(keys: readonly string[]): string[] {
  return [...new Set(keys)].sort()
}
