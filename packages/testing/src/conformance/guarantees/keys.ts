import assert from 'node:assert/strict'
import type { Cache } from '@stowage/core'
import { assertTypeError } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import type { Fixture } from '../support/fixture.ts'

/** Key suffixes that a backend, a protocol or a store may normalize, truncate or interpret. */
const suffixes: Readonly<Record<string, readonly string[]>> = {
  'upper and lower case': ['k', 'K', '\u00e9', '\u00c9', '\u0131', 'i', '\u00df', 'ss'],
  'white space': ['k', ' k', 'k ', 'k  ', '\tk', 'k\n', 'k\r\n', '\r\nk', '\u00a0k', 'k k'],
  'control characters': ['a\0', 'a', 'a\0b', 'a\0c', '\x01', '\x1b[0m', '\x7f', '\r\nEND\r\n'],
  'Unicode forms': [
    '\u00e9',
    'e\u0301',
    '\u212b',
    '\u00c5',
    'A\u030a',
    '\ufb01',
    'fi',
    '\ufeffk',
    'k',
  ],
  emoji: [
    '\u{1f600}',
    '\u{1f601}',
    '\u{1f468}\u200d\u{1f469}\u200d\u{1f467}',
    '\u{1f468}',
    '\u65e5\u672c',
  ],
  'glob characters': [
    '*',
    '?',
    '[a]',
    '[^a]',
    '[a-z]',
    'a',
    '\\',
    '\\*',
    '\\\\',
    '^',
    ']',
    '{a,b}',
  ],
  'regex and LIKE characters': ['.', '.*', '$', '(a|b)', 'a+', '%', '_', '/a/', '|', 'a{2}'],
  'separators and quotes': [
    ':',
    '::',
    '/',
    '//',
    '.',
    '..',
    ',',
    ';',
    '"',
    "'",
    '`',
    '~',
    '#',
    '@',
  ],
  'text that looks like a value': [
    '0',
    '00',
    '1',
    '1.0',
    'true',
    'null',
    'undefined',
    '{}',
    '%20',
    '+',
  ],
  'names of inherited properties': [
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'length',
  ],
}

const suffixCases = Object.entries(suffixes).map(([kind, endings]) => [
  `keys with different suffixes are different keys: ${kind}`,
  (fixture: Fixture) => {
    const start = fixture.newKey()
    return assertDistinct(
      fixture,
      endings.map((ending) => start + ending),
    )
  },
])

export const keys: readonly ConformanceCase[] = group('keys', {
  ...Object.fromEntries(suffixCases),

  'keys with different first characters are different keys': async (fixture) => {
    const end = fixture.newKey()
    const ascii = ['', ' ', '\t', '\r\n', '\0', '/', ':', '-', '"', '$', '{', 'C', 'c']
    const starts = [...ascii, '\ufeff', '\u{1f6a2}', '\u{1f6a3}', '\u{1f6a2}\u{1f6a2}', '\u00e9']
    await assertDistinct(
      fixture,
      starts.map((start) => start + end),
    )
  },

  'names of inherited properties are ordinary keys': async ({ store, item, read }) => {
    for (const key of ['__proto__', 'constructor', 'toString', 'valueOf', 'hasOwnProperty']) {
      await store.set(key, item('x'))
      assert.equal(await read(key), 'x', `${key} can be set`)
      await store.delete(key)
      assert.equal(await store.get(key), undefined, `${key} is missing after a delete`)
    }
  },

  'keys of 300 bytes, or of limits.keyBytes if that is less, are not truncated': async (
    fixture,
  ) => {
    const bytes = Math.min(300, fixture.store.limits.keyBytes)
    await assertDistinct(fixture, [
      ...['a', 'b', 'c'].map((last) => longKey(fixture, bytes - 1) + last),
      longKey(fixture, bytes - 1),
      `${longKey(fixture, bytes - 4)}\u{1f600}`,
    ])
  },

  'keys that differ behind characters beyond the BMP are different keys': async (fixture) => {
    const start = fixture.newKey('\u{1f6a2}'.repeat(15))
    await assertDistinct(
      fixture,
      ['a', 'b', '', '\u{1f6a2}', '\u{1f6a3}', '\u20ac'].map((end) => start + end),
    )
  },

  'keys as long as limits.keyBytes are accepted': async (fixture) => {
    const { keyBytes } = fixture.store.limits
    // A larger limit is not tested in full.
    const bytes = Math.min(keyBytes, 1_024)
    await assertDistinct(
      fixture,
      ['a', 'b'].map((last) => longKey(fixture, bytes - 1) + last),
    )
  },

  'a cache accepts keys of any length and keeps them apart': async ({
    store,
    newKey,
    newCache,
  }) => {
    const { keyBytes } = store.limits
    const start = newKey('x'.repeat(Math.min(keyBytes, 4_096)))
    const wide = '\u20ac'.repeat(2_000)
    const endings = ['a', 'b', '', 'aa', `${wide}a`, `${wide}b`]
    const values = new Map(endings.map((ending, index) => [start + ending, index]))
    for (const prefix of ['', newKey('p:')]) {
      await assertCacheDistinct(newCache({ prefix }), values)
    }
  },

  'a cache keeps keys with different lone surrogates apart': async ({ newKey, newCache }) => {
    const start = newKey()
    const endings = ['\ud800', '\udbff', '\udc00', '\udfff', '\ufffd', '\ud800\ud800', '?', '']
    const values = new Map(endings.map((ending, index) => [start + ending, index]))
    await assertCacheDistinct(newCache(), values)
  },

  'a cache keeps a shortened key apart from a key that equals its short form': async (fixture) => {
    const { newKey, newCache, store } = fixture
    const cache = newCache({ prefix: newKey('p:') })
    const key = `\ud800${'x'.repeat(10)}`
    await cache.set(key, 'shortened')
    if (store.scan === undefined) return
    for await (const shortForm of cache.keys()) {
      assert.equal(await cache.get(shortForm), undefined, 'the short form is another key')
      await cache.set(shortForm, 'short form')
    }
    assert.equal(await cache.get(key), 'shortened', 'set of the short form keeps the other value')
  },

  'a cache accepts only non-empty strings as keys': async ({ newCache }) => {
    const cache = newCache()
    const rule = 'a key must be a non-empty string'
    for (const wrong of ['', undefined, null, 0, {}, ['a']] as unknown as string[]) {
      await assertTypeError(() => cache.get(wrong), rule)
      await assertTypeError(() => cache.getMany(['a', wrong]), rule)
      await assertTypeError(() => cache.set(wrong, 1), rule)
      await assertTypeError(() => cache.setMany([[wrong, 1]]), rule)
      await assertTypeError(() => cache.add(wrong, 1), rule)
      await assertTypeError(() => cache.delete(wrong), rule)
      await assertTypeError(() => cache.remember(wrong, {}, () => 1), rule)
    }
  },
})

/** A key of exactly that many bytes, unique to the fixture. */
function longKey({ prefix }: Fixture, bytes: number): string {
  return prefix.padEnd(bytes, 'x')
}

async function assertDistinct({ store, item, read, textOf }: Fixture, keys: readonly string[]) {
  for (const [index, key] of keys.entries()) await store.set(key, item(String(index)))
  for (const [index, key] of keys.entries()) {
    const rule = `${JSON.stringify(key.slice(-30))} has an item of its own`
    assert.equal(await read(key), String(index), rule)
  }
  const expected = keys.map((_, index) => String(index))
  const found = await store.getMany(keys)
  assert.deepEqual(found.map(textOf), expected, 'getMany returns the item of each key')
  assert.equal(await store.deleteMany(keys), keys.length, 'deleteMany counts each key')
}

async function assertCacheDistinct(cache: Cache, values: ReadonlyMap<string, number>) {
  for (const [key, value] of values) await cache.set(key, value)
  for (const [key, value] of values) {
    assert.equal(await cache.get(key), value, 'each key of a cache has a value of its own')
  }
  const found = await cache.getMany([...values.keys()])
  assert.deepEqual(found, [...values.values()], 'getMany of a cache returns the value of each key')
  const count = await cache.deleteMany([...values.keys()])
  assert.equal(count, values.size, 'deleteMany of a cache counts each key')
}
