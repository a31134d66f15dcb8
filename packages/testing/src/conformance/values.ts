import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Payload } from '@stowage/core'
import { payloadBytes, toBytes } from '@stowage/core/driver'
import { type ConformanceCase, group } from './case.ts'
import { fails, failsWithTypeError } from './expect.ts'
import type { Subject } from './subject.ts'

const mebibyte = 1_048_576

const payloads: Readonly<Record<string, Payload>> = {
  'no bytes': new Uint8Array(0),
  'one NUL byte': Uint8Array.of(0),
  'all byte values': Uint8Array.from({ length: 256 }, (_, index) => index),
  'invalid UTF-8': Uint8Array.of(0xff, 0xfe, 0xc3, 0x28, 0xed, 0xa0, 0x80, 0xf0, 0x9f),
  'a byte order mark': Uint8Array.of(0xef, 0xbb, 0xbf, 0x61),
  'text beyond ASCII': 'caf\u00e9 \u65e5\u672c \u{1f600} \u0000 e\u0301',
  'line ends of a protocol': 'a\r\nEND\r\nVALUE x 0 1\r\n',
  'a number with zeros': '007',
  'a number with spaces': ' 1 ',
  'what looks like JSON': '{"a":1}',
  'what looks like a word': 'undefined',
  'a view into a larger buffer': Buffer.from('xxxx\x00inner\xffyyyy', 'latin1').subarray(4, 11),
}

/** What a value comes back as after it was JSON; the same on every driver. */
const table: readonly (readonly [value: unknown, back: unknown])[] = [
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
  'bytes come back exactly, however they were written': async (subject) => {
    if (!subject.bytes) return
    for (const [name, payload] of Object.entries(payloads)) {
      await roundTrips(subject, payload, name)
    }
  },

  'a mebibyte of any bytes comes back exactly': async (subject) => {
    if (!subject.bytes) return
    const size = Math.min(mebibyte, subject.store.limits.valueBytes)
    await roundTrips(subject, randomBytes(size), `${size} random bytes`)
  },

  'a string is its UTF-8 bytes': async ({ store, key, bytes, same }) => {
    if (!bytes) return
    const [one, other] = [key(), key()]
    await store.set(one, '\u20ac\u{1f600}')
    await store.set(other, toBytes('\u20ac\u{1f600}'))
    const [asText, asBytes] = await store.getMany([one, other])
    assert.ok(same(asText, asBytes), 'text and its UTF-8 bytes are the same payload')
    assert.equal(payloadBytes(asText as Payload), 7, 'text is stored as UTF-8')
  },

  'a store leaves the bytes it is given as they are': async ({ store, key, bytes }) => {
    if (!bytes) return
    const mine = key()
    const given = Uint8Array.of(1, 2, 3)
    await store.set(mine, given)
    await store.compareAndSet(mine, given, given)
    await store.setMany([[mine, given]])
    assert.deepEqual(given, Uint8Array.of(1, 2, 3), 'bytes received are read-only for the receiver')
  },

  'bytes that were read keep their content': async ({ store, key, bytes, same }) => {
    if (!bytes) return
    const mine = key()
    await store.set(mine, Uint8Array.of(1, 2, 3))
    const seen = await store.get(mine)
    await store.set(mine, Uint8Array.of(9, 9, 9))
    assert.ok(same(seen, Uint8Array.of(1, 2, 3)), 'a later write does not change what was read')
  },

  'entries are kept by reference': async ({ store, key, bytes }) => {
    if (bytes) return
    const mine = key()
    const entry = { value: { any: () => 1 }, facts: { freshUntil: 1 } }
    await store.set(mine, entry)
    assert.equal(await store.get(mine), entry, 'an entry store gives back the entry itself')
    const [found] = await store.getMany([mine])
    assert.equal(found, entry, 'an entry store gives back the entry itself')
  },

  'values come back through a cache as documented': async ({ key, cache, bytes }) => {
    const cached = cache()
    for (const [value, json] of table) {
      const mine = key()
      const back = bytes ? json : value
      const rule = `${typeof value} ${String(value)} comes back as documented`
      await cached.set(mine, value)
      assert.deepEqual(await cached.get(mine), back, rule)
      await cached.setMany([[mine, value]])
      assert.deepEqual(await cached.getMany([mine]), [back], rule)
    }
  },

  'bytes come back through a cache exactly': async ({ key, cache }) => {
    const cached = cache()
    for (const [name, payload] of Object.entries(payloads)) {
      const body = toBytes(payload)
      for (const value of [body, Uint8Array.from(body)]) {
        const mine = key()
        await cached.set(mine, value)
        const found = await cached.get<Uint8Array>(mine)
        assert.ok(found instanceof Uint8Array, `${name}: bytes come back as bytes`)
        assert.ok(body.equals(found), `${name}: bytes come back exactly`)
      }
    }
  },

  'a cached value belongs to the cache': async ({ key, cache, bytes }) => {
    if (!bytes) return
    const cached = cache()
    const [mine, body] = [key(), key()]
    const value = { list: [1] }
    await cached.set(mine, value)
    value.list.push(2)
    const found = await cached.get<typeof value>(mine)
    found?.list.push(3)
    assert.deepEqual(
      await cached.get(mine),
      { list: [1] },
      'changing a value does not change the cache',
    )
    const given = Buffer.from('abc')
    await cached.set(body, given)
    given.fill(0)
    const buffer = await cached.get<Buffer>(body)
    buffer?.fill(0)
    assert.equal(String(await cached.get(body)), 'abc', 'changing bytes does not change the cache')
  },

  'an entry store keeps the values themselves': async ({ key, cache, bytes }) => {
    if (bytes) return
    const cached = cache()
    for (const value of [{ a: 1 }, new Date(), () => 1, 10n, new Map(), Symbol('s')]) {
      const mine = key()
      await cached.set(mine, value)
      assert.equal(await cached.get(mine), value, 'an entry store keeps references')
    }
  },

  'what has no JSON is a coded error and changes nothing': async ({ key, cache, bytes }) => {
    if (!bytes) return
    const cached = cache()
    const cycle: unknown[] = []
    cycle.push(cycle)
    const mine = key()
    await cached.set(mine, 'kept')
    for (const value of [10n, { n: 10n }, () => 1, Symbol('s'), cycle]) {
      const rule = `a ${typeof value} has no JSON`
      await fails('ERR_CACHE_CODEC', () => cached.set(mine, value), rule)
      await fails('ERR_CACHE_CODEC', () => cached.setMany([[mine, value]]), rule)
      await fails('ERR_CACHE_CODEC', () => cached.add(key(), value), rule)
      await fails('ERR_CACHE_CODEC', () => cached.update(mine, () => value), rule)
      assert.equal(await cached.get(mine), 'kept', `${rule}, and what was there stays`)
    }
  },

  'undefined cannot be cached': async ({ key, cache }) => {
    const cached = cache()
    const mine = key()
    await cached.set(mine, 'kept')
    const rule = 'undefined means a miss and cannot be stored'
    await failsWithTypeError(() => cached.set(mine, undefined), rule)
    await failsWithTypeError(() => cached.setMany([[mine, undefined]]), rule)
    await failsWithTypeError(() => cached.add(key(), undefined), rule)
    await failsWithTypeError(() => cached.replace(mine, undefined), rule)
    assert.equal(await cached.get(mine), 'kept', `${rule}; what was there stays`)
  },
})

async function roundTrips({ store, key, same }: Subject, payload: Payload, name: string) {
  const [set, many, added, swapped] = [key(), key(), key(), key()]
  await store.set(set, payload)
  await store.setMany([[many, payload]])
  await store.add(added, payload)
  await store.set(swapped, 'before')
  await store.compareAndSet(swapped, 'before', payload)
  for (const [write, written] of Object.entries({
    set,
    setMany: many,
    add: added,
    compareAndSet: swapped,
  })) {
    const found = await store.get(written)
    assert.notEqual(found, undefined, `${name} is an item, not a miss (${write})`)
    assert.ok(same(found, payload), `${name}: bytes come back exactly (${write}, get)`)
    const [one] = await store.getMany([written])
    assert.ok(same(one, payload), `${name}: bytes come back exactly (${write}, getMany)`)
    const swap = await store.compareAndSet(written, payload, undefined)
    assert.equal(swap, true, `${name}: compareAndSet knows the bytes (${write})`)
  }
}
