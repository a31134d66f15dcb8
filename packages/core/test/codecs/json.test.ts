import { json } from '@stowage/core'
import type { Entry } from '@stowage/core/driver'
import { decodeFrame, encodeFrame, toBytes } from '@stowage/core/driver'
import { describe, expect, test } from 'vitest'
import { codeOf } from './code-of.ts'

const codec = json()
const decode = (payload: string | Uint8Array) => codec.decode(payload, 'k')
const roundTrip = (entry: Entry) => codec.decode(toBytes(codec.encode(entry, 'k')), 'k')

describe('json codec', () => {
  test('encodes an entry without facts as plain JSON text', () => {
    expect(codec.encode({ value: { a: 1 } }, 'k')).toBe('{"a":1}')
    expect(codec.encode({ value: 42 }, 'k')).toBe('42')
  })

  test('encodes an entry with facts as a frame', () => {
    const entry = { value: { a: [1, null, 'x'] }, facts: { freshUntil: 17, tags: { users: 'v1' } } }
    expect(roundTrip(entry)).toEqual(entry)
  })

  test('returns bytes unchanged, with and without facts', () => {
    const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    expect(roundTrip({ value })).toEqual({ value })
    expect(roundTrip({ value, facts: { freshUntil: 1 } })).toEqual({
      value,
      facts: { freshUntil: 1 },
    })
    expect(roundTrip({ value: new Uint8Array(0) })).toEqual({ value: Buffer.alloc(0) })
  })

  test('returns a copy of the bytes in the payload', () => {
    const payload = toBytes(codec.encode({ value: Buffer.from('abc') }, 'k'))
    const { value } = codec.decode(payload, 'k') as { value: Buffer }
    value.fill(0)
    expect(codec.decode(payload, 'k')?.value).toEqual(Buffer.from('abc'))
  })

  test.each([
    ['a function', () => {}],
    ['a symbol', Symbol('x')],
    ['a BigInt', 1n],
    ['a cycle', cyclic()],
  ])('rejects %s with ERR_CACHE_CODEC', (_, value) => {
    expect(codeOf(() => codec.encode({ value }, 'k'))).toBe('ERR_CACHE_CODEC')
  })

  test.each([
    ['a Map', new Map([[1, 2]]), 'a Map has no JSON representation. Use structured().'],
    ['a nested Map', { a: [{}, { b: new Map() }] }, 'a Map has no JSON representation (at a[1].b)'],
    ['a nested promise', { users: [Promise.resolve()] }, '(at users[0]). Await it first.'],
    ['a nested error', { cause: new Error('x') }, 'an Error has no JSON representation (at cause)'],
    ['an error', new Error('x'), 'an Error has no JSON representation'],
    ['a promise', Promise.resolve(1), 'Await it first'],
    ['a nested BigInt', { a: [{ b: 1 }, { b: 2n }] }, '(at a[1].b). Use structured().'],
    ['a BigInt and a cycle', Object.assign(cyclic(), { n: [1n] }), 'circular'],
  ])('says why it rejects %s', (_, value, reason) => {
    expect(() => codec.encode({ value }, 'k')).toThrow(reason)
  })

  test('stores an object without properties', () => {
    expect(codec.encode({ value: {} }, 'k')).toBe('{}')
    expect(codec.encode({ value: { a: [{}], b: new (class Point {})() } }, 'k')).toBe(
      '{"a":[{}],"b":{}}',
    )
  })

  test('stores what toJSON returns, whatever the object contains', () => {
    const document = { cache: new Map(), toJSON: () => ({ id: 1, tags: {} }) }
    expect(codec.encode({ value: [document] }, 'k')).toBe('[{"id":1,"tags":{}}]')
  })

  test('decodes 100,000 damaged payloads to a value or a miss, without throwing', () => {
    const random = seededRandom(20261121)
    const samples = [
      codec.encode({ value: { id: 7, name: 'Ä', list: [1, 2, { deep: true }] } }, 'k'),
      codec.encode({ value: Buffer.from('some bytes') }, 'k'),
      codec.encode({ value: [1], facts: { freshUntil: 12, tags: { a: 'b' } } }, 'k'),
    ].map(toBytes)
    let misses = 0
    for (let round = 0; round < 100_000; round++) {
      const entry = decode(damaged(samples[round % samples.length] as Buffer, random))
      if (entry === undefined) misses++
      else expect(entry).toHaveProperty('value')
    }
    // Most damage is detected. It cannot be if the result is valid JSON.
    expect(misses).toBeGreaterThan(50_000)
  })
})

describe('frame', () => {
  const frame = toBytes(encodeFrame({ facts: { freshUntil: 5 }, body: '"x"' }))

  test('of another version is a miss', () => {
    const newer = Buffer.from(frame)
    newer[1] = 2
    expect(decodeFrame(newer)).toBeUndefined()
    expect(decode(newer)).toBeUndefined()
  })

  test('truncated at any length is a miss', () => {
    for (let length = 0; length < frame.length; length++) {
      expect(decode(frame.subarray(0, length))).toBeUndefined()
    }
  })

  test.each(['[]', 'null', '{"freshUntil":"soon"}', '{"tags":{"a":1}}', '{"as":"xml"}', '{'])(
    'with the header %s is a miss',
    (header) => {
      expect(decode(Buffer.from(`\x01\x01${header}\x00"x"`))).toBeUndefined()
    },
  )
})

test.each(['', 'plain text', '{"a":', '\x02\x01whatever', '\x01'])(
  'the foreign payload %j is a miss',
  (text) => {
    expect(decode(text)).toBeUndefined()
  },
)

function cyclic(): object {
  const object: { self?: object } = {}
  object.self = object
  return object
}

/** Returns a truncated copy, a copy with changed bytes, or random bytes. */
function damaged(sample: Buffer, random: () => number): Buffer {
  const kind = Math.floor(random() * 3)
  if (kind === 0) return sample.subarray(0, Math.floor(random() * sample.length))
  if (kind === 1) {
    const changed = Buffer.from(sample)
    for (let i = 0; i < 3; i++) changed[Math.floor(random() * changed.length)] = random() * 256
    return changed
  }
  return Buffer.from(Array.from({ length: Math.floor(random() * 60) }, () => random() * 256))
}

/** The mulberry32 generator: the same numbers in every run, so that a failure can be reproduced. */
function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
