import assert from 'node:assert/strict'
import { type ConformanceCase, group } from './case.ts'
import { failsWithTypeError } from './expect.ts'
import type { Subject } from './subject.ts'

/** Endings that a backend, a protocol or a careless store may fold, cut or interpret. */
const families: Readonly<Record<string, readonly string[]>> = {
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
  'what looks like a value': ['0', '00', '1', '1.0', 'true', 'null', 'undefined', '{}', '%20', '+'],
  'names every object has': ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length'],
}

const familyCases = Object.entries(families).map(([name, endings]) => [
  `keys that differ in ${name} are different keys`,
  (subject: Subject) => {
    const start = subject.key()
    return staysApart(
      subject,
      endings.map((ending) => start + ending),
    )
  },
])

export const keys: readonly ConformanceCase[] = group('keys', {
  ...Object.fromEntries(familyCases),

  'keys that differ in how they begin are different keys': async (subject) => {
    const end = subject.key()
    const starts = ['', ' ', '\t', '\r\n', '\ufeff', '\0', '/', ':', '-', '"', '$', '{', 'C', 'c']
    await staysApart(
      subject,
      starts.map((start) => start + end),
    )
  },

  'names every object has are ordinary keys': async ({ store, item, read }) => {
    for (const name of ['__proto__', 'constructor', 'toString', 'valueOf', 'hasOwnProperty']) {
      await store.set(name, item('mine'))
      assert.equal(await read(name), 'mine', `${name} is an ordinary key`)
      await store.delete(name)
      assert.equal(await store.get(name), undefined, `${name} is an ordinary key, missing now`)
    }
  },

  'keys of 300 bytes, or as many as the store takes, are told apart': async (subject) => {
    const bytes = Math.min(300, subject.store.limits.keyBytes)
    await staysApart(subject, [
      ...['a', 'b', 'c'].map((last) => long(subject, bytes - 1) + last),
      long(subject, bytes - 1),
      `${long(subject, bytes - 4)}\u{1f600}`,
    ])
  },

  'keys as long as the store says are taken': async (subject) => {
    const { keyBytes } = subject.store.limits
    // Where the limit is out of reach, a long key stands for it.
    const bytes = Math.min(keyBytes, 1_024)
    await staysApart(subject, [`${long(subject, bytes - 1)}a`, `${long(subject, bytes - 1)}b`])
  },

  'a cache takes keys of any length, and tells them apart': async (subject) => {
    const { key, cache } = subject
    const { keyBytes } = subject.store.limits
    const start = key('x'.repeat(Math.min(keyBytes, 4_096)))
    const wide = '\u20ac'.repeat(2_000)
    const long = ['a', 'b', '', 'aa'].map((end) => `${start}${end}`)
    const values = new Map([...long, `${start}${wide}a`, `${start}${wide}b`].map((k, i) => [k, i]))
    for (const prefix of ['', key('p:')]) {
      await cacheKeepsApart(subject, cache({ prefix }), values)
    }
  },

  'a cache tells lone surrogates apart': async (subject) => {
    const { key, cache } = subject
    const start = key()
    const endings = ['\ud800', '\udbff', '\udc00', '\udfff', '\ufffd', '\ud800\ud800', '?', '']
    const values = new Map(endings.map((ending, index) => [start + ending, index]))
    await cacheKeepsApart(subject, cache(), values)
  },

  'a cache tells a shortened key from one that looks like it': async (subject) => {
    const { key, cache, store } = subject
    const prefix = key('p:')
    const cached = cache({ prefix })
    await cached.set(`\ud800${'x'.repeat(10)}`, 'shortened')
    if (store.scan === undefined) return
    for await (const alike of cached.keys()) {
      assert.equal(
        await cached.get(alike),
        undefined,
        'no key can be chosen to hit a shortened one',
      )
      await cached.set(alike, 'alike')
    }
    assert.equal(
      await cached.get(`\ud800${'x'.repeat(10)}`),
      'shortened',
      'shortening is injective',
    )
  },

  'a cache refuses a key that is no string, or empty': async ({ cache }) => {
    const cached = cache()
    const rule = 'a key is a non-empty string'
    for (const wrong of ['', undefined, null, 0, {}, ['a']] as unknown as string[]) {
      await failsWithTypeError(() => cached.get(wrong), rule)
      await failsWithTypeError(() => cached.getMany(['a', wrong]), rule)
      await failsWithTypeError(() => cached.set(wrong, 1), rule)
      await failsWithTypeError(() => cached.setMany([[wrong, 1]]), rule)
      await failsWithTypeError(() => cached.add(wrong, 1), rule)
      await failsWithTypeError(() => cached.delete(wrong), rule)
      await failsWithTypeError(() => cached.remember(wrong, {}, () => 1), rule)
    }
  },
})

/** A key of exactly that many bytes; the unique part comes first. */
function long({ prefix }: Subject, bytes: number): string {
  return prefix.padEnd(bytes, 'x')
}

async function staysApart({ store, item, read, text }: Subject, given: readonly string[]) {
  for (const [index, key] of given.entries()) await store.set(key, item(String(index)))
  for (const [index, key] of given.entries()) {
    const rule = `${JSON.stringify(key.slice(-30))} is a key of its own`
    assert.equal(await read(key), String(index), rule)
  }
  const expected = given.map((_, index) => String(index))
  const found = await store.getMany(given)
  assert.deepEqual(found.map(text), expected, 'getMany tells the keys apart')
  assert.equal(await store.deleteMany(given), given.length, 'deleteMany tells the keys apart')
}

async function cacheKeepsApart(
  { cache }: Subject,
  cached: ReturnType<typeof cache>,
  values: ReadonlyMap<string, number>,
) {
  for (const [key, value] of values) await cached.set(key, value)
  for (const [key, value] of values) {
    assert.equal(await cached.get(key), value, 'no two keys of a cache share an entry')
  }
  const found = await cached.getMany([...values.keys()])
  assert.deepEqual(found, [...values.values()], 'getMany of a cache tells the keys apart')
  const count = await cached.deleteMany([...values.keys()])
  assert.equal(count, values.size, 'deleteMany of a cache tells the keys apart')
}
