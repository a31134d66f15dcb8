import { runInNewContext } from 'node:vm'
import { Decoder, decode as unpack } from '@msgpack/msgpack'
import { Cache, CacheError, compressed, encrypted, json } from '@stowage/core'
import { decodeFrame, encodeFrame, toBytes } from '@stowage/core/driver'
import { msgpack } from '@stowage/msgpack'
import { propertySeed } from '@stowage/test-servers'
import { referenceStore } from '@stowage/testing'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assertLengths } from '../src/assert-lengths.ts'

fc.configureGlobal({ seed: propertySeed() })

const codec = msgpack()
const roundTrip = (value: unknown) => codec.decode(toBytes(codec.encode({ value }, 'k')), 'k')
const decodeBody = (...bytes: number[]) =>
  codec.decode(encodeFrame({ as: 'msgpack', body: Buffer.from(bytes) }), 'k')

function codeOf(value: unknown): string | undefined {
  try {
    codec.encode({ value }, 'k')
  } catch (error) {
    return CacheError.is(error) ? error.code : String(error)
  }
  return undefined
}

describe('msgpack()', () => {
  test.each([
    'text',
    '',
    1.5,
    -7,
    2 ** 53 - 1,
    1e300,
    Number.NaN,
    -Infinity,
    true,
    null,
    [1, [2, {}]],
    { a: { b: [null] } },
    new Date(1_700_000_000_123),
    new Date(-62_135_596_800_000),
    { bytes: Buffer.from([0, 255]), empty: Buffer.alloc(0) },
    Buffer.from('bytes'),
  ])('returns %o as it was', (value) => {
    expect(roundTrip(value)).toStrictEqual({ value })
  })

  test('returns a Date of another realm as a Date', () => {
    expect(roundTrip({ at: runInNewContext('new Date(5)') })).toEqual({
      value: { at: new Date(5) },
    })
  })

  test('returns bytes of another realm as bytes', () => {
    const bytes = runInNewContext('Uint8Array.of(1, 255)')
    const value = Buffer.from([1, 255])
    expect([roundTrip(bytes)?.value, roundTrip([bytes])?.value]).toMatchObject([value, [value]])
  })

  test('stores a frame whose body any MessagePack library reads', () => {
    const frame = decodeFrame(codec.encode({ value: { a: [1, 'x'] } }, 'k'))
    expect(frame?.as).toBe('msgpack')
    expect(unpack(frame?.body as Buffer)).toEqual({ a: [1, 'x'] })
  })

  test('keeps facts', () => {
    const facts = { freshUntil: 5, tags: { a: 'b' } }
    for (const value of [{ a: 1 }, 7, Buffer.from('x')]) {
      const payload = codec.encode({ value, facts }, 'k')
      expect(codec.decode(payload, 'k')).toEqual({ value, facts })
    }
  })

  test('omits undefined from objects, and returns null for it in arrays', () => {
    expect(roundTrip({ a: undefined, b: [undefined] })).toEqual({ value: { b: [null] } })
  })

  test('returns a copy of the bytes in the payload', () => {
    const payload = toBytes(codec.encode({ value: { bytes: Buffer.from('abc') } }, 'k'))
    const entry = codec.decode(payload, 'k') as { value: { bytes: Buffer } }
    entry.value.bytes.fill(0)
    expect(codec.decode(payload, 'k')).toEqual({ value: { bytes: Buffer.from('abc') } })
  })

  test.each([
    ['a Map', new Map([[1, 2]])],
    ['a Set', [new Set()]],
    ['a BigInt', { a: 1n }],
    ['a class', [new (class Point {})()]],
    ['a typed array', new Float64Array(2)],
    ['a function', { f() {} }],
    ['a symbol', [Symbol('s')]],
    ['undefined', undefined],
    ['an invalid Date', new Date(Number.NaN)],
    ['a lone surrogate', ['a\ud800']],
    ['a lone surrogate in a name', { 'a\ud800': 1 }],
    ['a key __proto__', JSON.parse('{"a":{"__proto__":1}}')],
    ['a cycle', cycle()],
  ])('rejects %s with ERR_CACHE_CODEC', (_, value) => {
    expect(codeOf(value)).toBe('ERR_CACHE_CODEC')
  })

  test('accepts 500 levels', () => {
    let value: unknown = [1]
    for (let level = 1; level < 500; level++) value = [value]
    expect(roundTrip(value)).toStrictEqual({ value })
    expect(codeOf([value])).toBe('ERR_CACHE_CODEC')
  })

  test.each([
    ['arrays', [0x91]],
    ['maps', [0x81, 0xa1, 0x61]],
    ['arrays behind another value', [0x92, 0x01]],
    ['arrays in front of another value', [0x92], [0x01]],
  ])('reads 500 levels of %s, and more are a miss', (_, head, tail: number[] = []) => {
    const bytesOf = (levels: number) =>
      [head, [0x01], tail].flatMap((bytes, at) =>
        at === 1 ? bytes : Array.from({ length: levels }, () => bytes).flat(),
      )
    expect(decodeBody(...bytesOf(500))).toBeDefined()
    expect(decodeBody(...bytesOf(501))).toBeUndefined()
  })

  test('reads any number of containers beside each other', () => {
    const value = Array.from({ length: 2_000 }, (_, index) => ({ a: [index, []], b: {} }))
    expect(roundTrip(value)).toEqual({ value })
  })

  test('numbers are counters', async () => {
    const cache = new Cache(referenceStore(), { codec })
    await cache.set('n', 41)
    expect(await cache.increment('n')).toBe(42)
    expect(await cache.get('n')).toBe(42)
  })

  test('reads the entries of json(); those with other types are a miss for json()', () => {
    expect(codec.decode('{"a":[1]}', 'k')).toEqual({ value: { a: [1] } })
    expect(json().decode(codec.encode({ value: { a: 1 } }, 'k'), 'k')).toBeUndefined()
  })

  test('can be compressed and encrypted', () => {
    const keys = [`a:${Buffer.alloc(32, 1).toString('base64')}`]
    const outer = encrypted(compressed(codec), { keys })
    const value = { list: Array(2_000).fill(0.5), at: new Date(5) }
    expect(outer.encode({ value }, 'k').length).toBeLessThan(500)
    expect(outer.decode(outer.encode({ value }, 'k'), 'k')).toEqual({ value })
  })
})

describe('a payload that is', () => {
  test.each([
    ['empty', []],
    ['truncated', [0x92, 0x01]],
    ['followed by more bytes', [0x01, 0x01]],
    ['an array of 2^32 elements', [0xdd, 0xff, 0xff, 0xff, 0xff]],
    ['an array of 2^24 elements', [0xdd, 0x01, 0x00, 0x00, 0x00]],
    ['a map of 2^32 members', [0xdf, 0xff, 0xff, 0xff, 0xff]],
    ['a map with the key __proto__', [0x81, 0xa9, ...Buffer.from('__proto__'), 0x80]],
    ['an unknown extension', [0xd4, 0x05, 0x00]],
    ['an unknown type', [0xc1]],
  ])('%s is a miss', (_, bytes) => {
    expect(decodeBody(...bytes)).toBeUndefined()
  })

  test('large only by its lengths allocates no memory', () => {
    const before = process.memoryUsage().heapUsed
    for (let round = 0; round < 100; round++) decodeBody(0xdd, 0x01, 0xff, 0xff, 0xff)
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024)
  })
})

describe('the memory that lengths in a payload reserve', () => {
  /** The number of elements of all arrays that decoding a body creates with a length. */
  function elementsReservedFor(body: Uint8Array): number {
    let elements = 0
    const { Array: original } = globalThis
    globalThis.Array = new Proxy(original, {
      construct(target, args, newTarget) {
        elements += args.length === 1 ? Number(args[0]) : 0
        return Reflect.construct(target, args, newTarget)
      },
    })
    try {
      decodeBody(...body)
    } finally {
      globalThis.Array = original
    }
    return elements
  }

  const length = 20_000
  const nested = (head: readonly number[]) => Buffer.alloc(length, Buffer.from(head))

  test.each([
    ['arrays that each claim the whole payload', [0xdd, 0, 0, 0x4e, 0x20]],
    ['arrays that each claim half of it', [0xdc, 0x27, 0x10]],
    ['arrays of 15 elements', [0x9f]],
    ['arrays in maps', [0x81, 0xa1, 0x61, 0xdc, 0x4e, 0x20]],
    ['arrays after values', [0x93, 0x01, 0x02, 0xdc, 0x4e, 0x20]],
  ])('is at most one element per byte: nested %s', (_, head) => {
    expect(elementsReservedFor(nested(head))).toBeLessThanOrEqual(length)
    expect(decodeBody(...nested(head))).toBeUndefined()
  })

  test('is counted', () => {
    expect(elementsReservedFor(Buffer.from([0xdc, 0, 2, 0x91, 1, 2]))).toBe(3)
  })
})

test('lengths are checked as the library reads them', () => {
  // Every head, with enough bytes after it, and with one byte less than it needs.
  for (let head = 0; head < 256; head++) {
    const body = Buffer.concat([Buffer.from([head]), Buffer.alloc(40)])
    const read = (bytes: Buffer) => {
      try {
        new Decoder().decode(bytes)
        return 'complete'
      } catch (error) {
        return /^Extra/.test((error as Error).message) ? 'complete' : 'incomplete'
      }
    }
    for (let length = 1; length < body.length; length++) {
      const bytes = body.subarray(0, length)
      if (read(bytes) === 'complete') expect(() => assertLengths(bytes)).not.toThrow()
    }
  }
})

const scalars = [
  fc.string({ unit: 'grapheme' }),
  fc.double().filter((value) => !Object.is(value, -0)),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.date({ noInvalidDate: true }),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
]
const { value: values } = fc.letrec((tie) => ({
  value: fc.oneof({ depthSize: 'small' }, ...scalars, tie('list'), tie('object')),
  list: fc.array(tie('value')),
  object: fc.dictionary(
    fc.string({ unit: 'grapheme' }).filter((name) => name !== '__proto__'),
    tie('value'),
    { noNullPrototype: true },
  ),
}))

test('every value of the format is returned as it was', () => {
  fc.assert(
    fc.property(values, (value) => {
      expect(roundTrip(value)).toStrictEqual({ value })
    }),
    { numRuns: 500 },
  )
})

test('damaged payloads are a value or a miss, never an error', () => {
  const bytes = fc.uint8Array({ maxLength: 60 })
  fc.assert(
    fc.property(bytes, (body) => {
      codec.decode(encodeFrame({ as: 'msgpack', body }), 'k')
      codec.decode(body, 'k')
    }),
    { numRuns: 5_000 },
  )
})

function cycle(): object {
  const object: { self?: object } = {}
  object.self = object
  return object
}
