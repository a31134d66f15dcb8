import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { types } from 'node:util'
import type { Payload } from '@stowage/core'
import { payloadBytes, toBytes } from '@stowage/core/driver'
import { assertCacheError, assertTypeError } from '../support/assertions.ts'
import { type ConformanceCase, group } from '../support/case.ts'
import type { Fixture } from '../support/fixture.ts'

const mebibyte = 1_048_576

const payloads: Readonly<Record<string, Payload>> = {
  'no bytes': new Uint8Array(0),
  'one NUL byte': Uint8Array.of(0),
  'all byte values': Uint8Array.from({ length: 256 }, (_, index) => index),
  'invalid UTF-8': Uint8Array.of(0xff, 0xfe, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf0, 0x9f),
  'a byte order mark': Uint8Array.of(0xef, 0xbb, 0xbf, 0x61),
  'text beyond ASCII': 'caf\u00e9 \u65e5\u672c \u{1f600} \u0000 e\u0301',
  'line ends of a protocol': 'a\r\nEND\r\nVALUE x 0 1\r\n',
  'a number with leading zeros': '007',
  'a number with spaces': ' 1 ',
  'JSON text': '{"a":1}',
  'the text undefined': 'undefined',
  'a view of a larger buffer': Buffer.from('xxxx\x00inner\xffyyyy', 'latin1').subarray(4, 11),
}

/** Values and what a cache returns for them after JSON encoding. The same on every driver. */
const jsonValues: readonly (readonly [value: unknown, returned: unknown])[] = [
  ...[0, 1, -1, 1.5, -0.25, 1e21, 5e-324, Number.MAX_SAFE_INTEGER].map((n) => [n, n] as const),
  ...[
    '',
    ' ',
    '007',
    '1',
    'true',
    'null',
    '{"a":1}',
    '"',
    '\u0000',
    'e\u0301',
    '\u{1f600}',
    '\ud800',
  ].map((s) => [s, s] as const),
  ...[true, false, null, [], {}, [null], { a: { b: [1, { c: null }] } }].map(
    (v) => [v, v] as const,
  ),
  [-0, 0],
  [NaN, null],
  [Infinity, null],
  [new Date(0), '1970-01-01T00:00:00.000Z'],
  [{ at: new Date(0) }, { at: '1970-01-01T00:00:00.000Z' }],
  [{ a: undefined, b: 1 }, { b: 1 }],
  [
    [undefined, 1],
    [null, 1],
  ],
]

export const values: readonly ConformanceCase[] = group('values', {
  'every write stores bytes exactly': async (fixture) => {
    if (!fixture.isByteStore) return
    for (const [name, payload] of Object.entries(payloads)) {
      await assertRoundTrip(fixture, payload, name)
    }
  },

  'a mebibyte of random bytes is stored exactly': async (fixture) => {
    if (!fixture.isByteStore) return
    const size = Math.min(mebibyte, fixture.store.limits.valueBytes)
    await assertRoundTrip(fixture, randomBytes(size), `${size} random bytes`)
  },

  'a string is stored as its UTF-8 bytes': async ({ store, newKey, isByteStore, sameItem }) => {
    if (!isByteStore) return
    const [one, two] = [newKey(), newKey()]
    await store.set(one, '\u20ac\u{1f600}')
    await store.set(two, toBytes('\u20ac\u{1f600}'))
    const [fromText, fromBytes] = await store.getMany([one, two])
    assert.ok(sameItem(fromText, fromBytes), 'a string and its UTF-8 bytes are the same payload')
    assert.equal(payloadBytes(fromText as Payload), 7, 'a string is stored as UTF-8')
  },

  'an entry store keeps entries by reference': async ({ store, newKey, isByteStore }) => {
    if (isByteStore) return
    const key = newKey()
    const entry = { value: { any: () => 1 }, facts: { freshUntil: 1 } }
    await store.set(key, entry)
    assert.equal(await store.get(key), entry, 'get returns the same object')
    const [found] = await store.getMany([key])
    assert.equal(found, entry, 'getMany returns the same object')
  },

  'a cache returns values as documented': async ({ newKey, newCache, isByteStore }) => {
    const cache = newCache()
    for (const [value, returned] of jsonValues) {
      const key = newKey()
      const expected = isByteStore ? returned : value
      const rule = `${typeof value} ${String(value)} is returned as documented`
      await cache.set(key, value)
      assert.deepEqual(await cache.get(key), expected, rule)
      await cache.setMany([[key, value]])
      assert.deepEqual(await cache.getMany([key]), [expected], rule)
    }
  },

  'a cache returns bytes exactly': async ({ newKey, newCache }) => {
    const cache = newCache()
    for (const [name, payload] of Object.entries(payloads)) {
      const body = toBytes(payload)
      for (const value of [body, Uint8Array.from(body)]) {
        const key = newKey()
        await cache.set(key, value)
        const found = await cache.get<Uint8Array>(key)
        assert.ok(types.isUint8Array(found), `${name}: get returns bytes`)
        assert.ok(body.equals(found), `${name}: get returns the same bytes`)
      }
    }
  },

  'changing a value after set or get does not change the cache': async (fixture) => {
    const { newKey, newCache, isByteStore } = fixture
    if (!isByteStore) return
    const cache = newCache()
    const [objectKey, bytesKey] = [newKey(), newKey()]
    const value = { list: [1] }
    await cache.set(objectKey, value)
    value.list.push(2)
    const found = await cache.get<typeof value>(objectKey)
    found?.list.push(3)
    assert.deepEqual(await cache.get(objectKey), { list: [1] }, 'the cached object is a copy')
    const bytes = Buffer.from('abc')
    await cache.set(bytesKey, bytes)
    bytes.fill(0)
    const foundBytes = await cache.get<Buffer>(bytesKey)
    foundBytes?.fill(0)
    assert.equal(String(await cache.get(bytesKey)), 'abc', 'the cached bytes are a copy')
  },

  'a cache on an entry store keeps values by reference': async (fixture) => {
    const { newKey, newCache, isByteStore } = fixture
    if (isByteStore) return
    const cache = newCache()
    for (const value of [{ a: 1 }, new Date(), () => 1, 10n, new Map(), Symbol('s')]) {
      const key = newKey()
      await cache.set(key, value)
      assert.equal(await cache.get(key), value, 'get returns the value that was set')
    }
  },

  'a value that JSON cannot represent fails with ERR_CACHE_CODEC': async (fixture) => {
    const { newKey, newCache, isByteStore } = fixture
    if (!isByteStore) return
    const cache = newCache()
    const cycle: unknown[] = []
    cycle.push(cycle)
    const key = newKey()
    await cache.set(key, 'kept')
    for (const value of [10n, { n: 10n }, () => 1, Symbol('s'), cycle]) {
      const rule = `a ${typeof value} that JSON cannot represent is rejected`
      await assertCacheError('ERR_CACHE_CODEC', () => cache.set(key, value), rule)
      await assertCacheError('ERR_CACHE_CODEC', () => cache.setMany([[key, value]]), rule)
      await assertCacheError('ERR_CACHE_CODEC', () => cache.add(newKey(), value), rule)
      await assertCacheError('ERR_CACHE_CODEC', () => cache.update(key, () => value), rule)
      assert.equal(await cache.get(key), 'kept', `${rule} and the old value is kept`)
    }
  },

  'undefined cannot be cached': async ({ newKey, newCache }) => {
    const cache = newCache()
    const key = newKey()
    await cache.set(key, 'kept')
    const rule = 'undefined stands for a miss and is rejected'
    await assertTypeError(() => cache.set(key, undefined), rule)
    await assertTypeError(() => cache.setMany([[key, undefined]]), rule)
    await assertTypeError(() => cache.add(newKey(), undefined), rule)
    await assertTypeError(() => cache.replace(key, undefined), rule)
    assert.equal(await cache.get(key), 'kept', `${rule} and the old value is kept`)
  },
})

/** Asserts that every write stores the payload, and that every read returns it. */
async function assertRoundTrip(fixture: Fixture, payload: Payload, name: string) {
  const { store, newKey, sameItem } = fixture
  const [set, setMany, add, compareAndSet] = [newKey(), newKey(), newKey(), newKey()]
  await store.set(set, payload)
  await store.setMany([[setMany, payload]])
  await store.add(add, payload)
  await store.set(compareAndSet, 'before')
  await store.compareAndSet(compareAndSet, 'before', payload)
  for (const [write, key] of Object.entries({ set, setMany, add, compareAndSet })) {
    const found = await store.get(key)
    assert.notEqual(found, undefined, `${name} is not a miss (${write})`)
    assert.ok(sameItem(found, payload), `${name}: get returns the same bytes (${write})`)
    const [foundInBatch] = await store.getMany([key])
    assert.ok(sameItem(foundInBatch, payload), `${name}: getMany returns the same bytes (${write})`)
    const deleted = await store.compareAndSet(key, payload, undefined)
    assert.equal(deleted, true, `${name}: compareAndSet matches the bytes (${write})`)
  }
}
