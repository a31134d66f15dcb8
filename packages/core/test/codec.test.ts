import { CacheError, type Entry, json } from '@stowage/core'
import { decodeFrame, encodeFrame, toBytes } from '@stowage/core/driver'
import { describe, expect, test } from 'vitest'

const codec = json()
const decode = (payload: string | Uint8Array) => codec.decode(payload)
const roundTrip = (entry: Entry) => codec.decode(toBytes(codec.encode(entry)))

describe('json codec', () => {
  test('an entry without facts is plain JSON text', () => {
    expect(codec.encode({ value: { a: 1 } })).toBe('{"a":1}')
    expect(codec.encode({ value: 42 })).toBe('42')
  })

  test('a value with facts travels in a frame', () => {
    const entry = { value: { a: [1, null, 'x'] }, facts: { freshUntil: 17, tags: { users: 'v1' } } }
    expect(roundTrip(entry)).toEqual(entry)
  })

  test('bytes come back exactly, with and without facts', () => {
    const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    expect(roundTrip({ value })).toEqual({ value })
    expect(roundTrip({ value, facts: { freshUntil: 1 } })).toEqual({
      value,
      facts: { freshUntil: 1 },
    })
    expect(roundTrip({ value: new Uint8Array(0) })).toEqual({ value: Buffer.alloc(0) })
  })

  test('decoded bytes are a copy: the payload stays the store’s own', () => {
    const payload = toBytes(codec.encode({ value: Buffer.from('abc') }))
    const { value } = codec.decode(payload) as { value: Buffer }
    value.fill(0)
    expect(codec.decode(payload)?.value).toEqual(Buffer.from('abc'))
  })

  test.each([
    ['a function', () => {}],
    ['a symbol', Symbol('x')],
    ['a BigInt', 1n],
    ['a cycle', cyclic()],
  ])('%s is an error', (_, value) => {
    expect(codeOf(() => codec.encode({ value }))).toBe('ERR_CACHE_CODEC')
  })

  test('100,000 random and truncated payloads are misses or values, never exceptions', () => {
    const random = generator(20261121)
    const samples = [
      codec.encode({ value: { id: 7, name: 'Ä', list: [1, 2, { deep: true }] } }),
      codec.encode({ value: Buffer.from('some bytes') }),
      codec.encode({ value: [1], facts: { freshUntil: 12, tags: { a: 'b' } } }),
    ].map(toBytes)
    let misses = 0
    for (let round = 0; round < 100_000; round++) {
      const entry = decode(damaged(samples[round % samples.length] as Buffer, random))
      if (entry === undefined) misses++
      else expect(entry).toHaveProperty('value')
    }
    // Damage that is still valid JSON cannot be noticed; most damage is.
    expect(misses).toBeGreaterThan(50_000)
  })
})

describe('frame', () => {
  const frame = encodeFrame({ facts: { freshUntil: 5 }, body: '"x"' })

  test('another version is a miss', () => {
    const newer = Buffer.from(frame)
    newer[1] = 2
    expect(decodeFrame(newer)).toBeUndefined()
    expect(decode(newer)).toBeUndefined()
  })

  test('cut anywhere it is a miss', () => {
    for (let length = 0; length < frame.length; length++) {
      expect(decode(frame.subarray(0, length))).toBeUndefined()
    }
  })

  test.each(['[]', 'null', '{"freshUntil":"soon"}', '{"tags":{"a":1}}', '{"as":"xml"}', '{'])(
    'a header of %s is a miss',
    (header) => {
      expect(decode(Buffer.from(`\x01\x01${header}\x00"x"`))).toBeUndefined()
    },
  )
})

test.each(['', 'plain text', '{"a":', '\x02\x01whatever', '\x01'])(
  'foreign payload %j is a miss',
  (text) => {
    expect(decode(text)).toBeUndefined()
  },
)

function cyclic(): object {
  const loop: { self?: object } = {}
  loop.self = loop
  return loop
}

function codeOf(work: () => unknown): string | undefined {
  try {
    work()
  } catch (error) {
    return CacheError.is(error) ? error.code : String(error)
  }
  return undefined
}

/** Truncated, with flipped bytes, or nothing but noise. */
function damaged(sample: Buffer, random: () => number): Buffer {
  const kind = Math.floor(random() * 3)
  if (kind === 0) return sample.subarray(0, Math.floor(random() * sample.length))
  if (kind === 1) {
    const flipped = Buffer.from(sample)
    for (let i = 0; i < 3; i++) flipped[Math.floor(random() * flipped.length)] = random() * 256
    return flipped
  }
  return Buffer.from(Array.from({ length: Math.floor(random() * 60) }, () => random() * 256))
}

/** mulberry32: the same noise in every run, so that a failure can be repeated. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
