import assert from 'node:assert/strict'
import { type ConformanceCase, group } from './case.ts'
import { fails, listed } from './expect.ts'
import type { AnyStore, Subject } from './subject.ts'

type Scan = (prefix: string) => Promise<string[]>

/** Makes a case for stores that can list their keys. */
function listing(
  check: (scan: Scan, subject: Subject, store: Required<AnyStore>) => Promise<void>,
) {
  return async (subject: Subject) => {
    const { store } = subject
    if (store.scan === undefined) return
    await check((prefix) => listed(pages(store, prefix)), subject, store as Required<AnyStore>)
  }
}

function pages(store: AnyStore, prefix: string): AsyncIterable<readonly string[]> {
  assert.ok(store.scan !== undefined)
  return store.scan(prefix)
}

const literal = [
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
  'scan lists the keys that begin with the prefix': listing(async (scan, { key, item }, store) => {
    const [inside, outside] = [key('in:'), key('out:')]
    const mine = ['a', 'b', '', 'c:d'].map((end) => inside + end)
    for (const each of [...mine, `${outside}a`, `x${inside}a`]) await store.set(each, item('x'))
    assert.deepEqual(
      sorted(await scan(inside)),
      sorted(mine),
      'scan lists what begins with the prefix',
    )
    assert.deepEqual(await scan(key('none:')), [], 'scan of an unused prefix lists nothing')
    assert.deepEqual(await scan(mine[0] as string), [mine[0]], 'a whole key is a prefix of itself')
  }),

  'the prefix is taken literally': listing(async (scan, { key, item }, store) => {
    const start = key('g:')
    const neighbours = ['a', 'b', 'ab', 'abc', 'x:a', '-', 'aa', 'A']
    for (const end of neighbours) await store.set(start + end, item('x'))
    for (const glob of literal) {
      const mine = `${start}${glob}:1`
      await store.set(mine, item('x'))
      const found = await scan(`${start}${glob}:`)
      assert.deepEqual(found, [mine], `scan takes ${JSON.stringify(glob)} literally`)
    }
  }),

  'the prefix tells upper from lower case': listing(async (scan, { key, item }, store) => {
    const start = key('case:')
    await store.set(`${start}User`, item('x'))
    await store.set(`${start}user`, item('x'))
    assert.deepEqual(await scan(`${start}u`), [`${start}user`], 'a prefix is compared exactly')
  }),

  'keys are listed as they were set': listing(async (scan, { key, item }, store) => {
    const start = key('odd:')
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
    assert.deepEqual(sorted(await scan(start)), sorted(expected), 'a key is listed as it was set')
  }),

  'scan lists 1200 keys over its pages': listing(async (scan, { key, item }, store) => {
    const start = key('many:')
    const mine = Array.from({ length: 1_200 }, (_, index) => `${start}${index}`)
    await store.setMany(mine.map((each) => [each, item('x')] as const))
    assert.deepEqual(sorted(await scan(start)), sorted(mine), 'scan reads every page')
  }),

  'scan of the empty prefix lists everything': listing(async (scan, { key, item }, store) => {
    const mine = [key('a'), key('b')]
    for (const each of mine) await store.set(each, item('x'))
    const foreign = `other:${key()}`
    await store.set(foreign, item('x'))
    const found = await scan('')
    for (const each of [...mine, foreign]) {
      assert.ok(found.includes(each), 'the empty prefix lists every key')
    }
  }),

  'scan does not list what was deleted': listing(async (scan, { key, item }, store) => {
    const start = key('del:')
    await store.setMany(['a', 'b', 'c'].map((end) => [start + end, item('x')] as const))
    await store.delete(`${start}a`)
    await store.deleteMany([`${start}b`])
    assert.deepEqual(await scan(start), [`${start}c`], 'scan lists the living only')
  }),

  'scan lists counters': listing(async (scan, { key }, store) => {
    const mine = key('count')
    await store.increment(mine, 1)
    assert.deepEqual(await scan(mine), [mine], 'a counter is an item')
  }),

  'what lives during the whole scan is listed': listing(async (_scan, { key, item }, store) => {
    const start = key('moving:')
    const mine = Array.from({ length: 1_000 }, (_, index) => `${start}${index % 2}:${index}`)
    await store.setMany(mine.map((each) => [each, item('x')] as const))
    const found = new Set<string>()
    for await (const page of pages(store, start)) {
      for (const each of page) found.add(each)
      await store.deleteMany(page.filter((each) => each.startsWith(`${start}1:`)))
      await store.set(`${start}new:${found.size}`, item('x'))
    }
    const missed = mine.filter((each) => each.startsWith(`${start}0:`) && !found.has(each))
    assert.equal(missed.length, 0, 'a key that lives during the whole scan is listed')
  }),

  'a scan can be left early': listing(async (scan, { key, item }, store) => {
    const start = key('early:')
    const mine = Array.from({ length: 500 }, (_, index) => `${start}${index}`)
    await store.setMany(mine.map((each) => [each, item('x')] as const))
    for await (const page of pages(store, start)) if (page.length > 0) break
    assert.equal((await scan(start)).length, 500, 'the next scan begins at the beginning')
  }),

  'a cache lists its own keys, without the prefix': listing(async (_scan, { key, cache }) => {
    const cached = cache({ prefix: key('glob[*]?:') })
    const neighbour = cache({ prefix: key('glob') })
    await neighbour.set('foreign', 1)
    const mine = ['a', 'b*', ' c', 'sub:d']
    for (const each of mine) await cached.set(each, 1)
    const found: string[] = []
    for await (const each of cached.keys()) found.push(each)
    assert.deepEqual(sorted(found), sorted(mine), 'keys() lists the keys of this cache as given')
  }),

  'where keys cannot be listed, keys() is unsupported': async ({ store, key, cache }) => {
    if (store.scan !== undefined) return
    for (const cached of [cache(), cache({ prefix: key('p:') }), cache().namespace(key('n'))]) {
      const error = await fails(
        'ERR_CACHE_UNSUPPORTED',
        () => cached.keys().next(),
        'keys() of a store without scan',
      )
      assert.equal(error.store, store.name, 'the error names the store')
    }
  },
})

function sorted(keys: readonly string[]): string[] {
  return [...new Set(keys)].sort()
}
