import assert from 'node:assert/strict'
import { runInNewContext } from 'node:vm'
import { Cache, json, structured } from '@stowage/core'
import type { Entry } from '@stowage/core/driver'
import { encodeFrame, toBytes } from '@stowage/core/driver'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { codeOf } from './code-of.ts'

const codec = structured()
const roundTrip = (value: unknown, facts?: Entry['facts']) =>
  codec.decode(toBytes(codec.encode(facts ? { value, facts } : { value }, 'k')), 'k')
const payloadOf = (tree: unknown) =>
  encodeFrame({ as: 'structured', body: typeof tree === 'string' ? tree : JSON.stringify(tree) })
const decodeTree = (tree: unknown) => codec.decode(payloadOf(tree), 'k')

const special: Record<string, unknown> = {
  'a Date': new Date(1_700_000_000_123),
  'an invalid Date': new Date(Number.NaN),
  'a Map': new Map<unknown, unknown>([
    ['a', 1],
    [{ key: [1] }, new Map([[[], 2]])],
  ]),
  'a Set': new Set<unknown>([1, 'a', new Set([2n]), [3]]),
  'a BigInt': -(2n ** 200n),
  'bytes in an object': { bytes: Buffer.from([0, 1, 255]), empty: Buffer.alloc(0) },
  'undefined in an object and an array': { a: undefined, b: [undefined, null] },
  'special numbers': [Number.NaN, Infinity, -Infinity, -0, 0],
  'arrays beside special values': [1n, [], [[]], ['', 'Map'], ['Date', 5], ['constant', 'NaN']],
  'an object with the names of tags': { Map: [1], '': 2n, undefined: 3 },
}

describe('structured()', () => {
  test.each(Object.entries(special))('returns %s as it was', (_, value) => {
    expect(roundTrip(value)).toStrictEqual({ value })
    const facts = { freshUntil: 5, tags: { a: 'b' } }
    expect(roundTrip(value, facts)).toStrictEqual({ value, facts })
  })

  test.each([1, 'text', '', true, null, [1, [2]], { a: { b: [] } }, {}, -1.5, '\ud800'])(
    'stores %j as the JSON text that json() stores',
    (value) => {
      expect(codec.encode({ value }, 'k')).toBe(json().encode({ value }, 'k'))
      expect(roundTrip(value)).toStrictEqual({ value })
    },
  )

  test('stores bytes as json() does', () => {
    const value = Buffer.from([1, 2])
    expect(codec.encode({ value }, 'k')).toEqual(json().encode({ value }, 'k'))
    expect(roundTrip(value)).toStrictEqual({ value })
  })

  test('other values are a miss for json()', () => {
    for (const value of Object.values(special)) {
      expect(json().decode(codec.encode({ value }, 'k'), 'k')).toBeUndefined()
    }
  })

  test('returns a hole of a sparse array as undefined', () => {
    const sparse = [1]
    sparse[2] = 3
    expect(roundTrip(sparse)).toStrictEqual({ value: [1, undefined, 3] })
  })

  test('returns values of another realm as those of this one', () => {
    const foreign = runInNewContext('({ list: [new Date(5), new Map([[1, new Set([2n])]])] })')
    const value = { list: [new Date(5), new Map([[1, new Set([2n])]])] }
    expect(roundTrip(foreign)).toStrictEqual({ value })
  })

  test('returns an object without a prototype as a plain one', () => {
    const value = Object.assign(Object.create(null), { a: 1n })
    expect(roundTrip(value)).toStrictEqual({ value: { a: 1n } })
  })

  test.each([
    ['a function', () => {}],
    ['a symbol', Symbol('s')],
    ['undefined', undefined],
    ['a function in an object', { f() {} }],
    ['an instance of a class', new (class Point {})()],
    ['a regular expression in a Map', new Map([[1, /x/]])],
    ['an error', [new Error('e')]],
    ['a typed array', [new Float64Array(1)]],
    ['a boxed number', Object(1)],
    ['a promise', [Promise.resolve()]],
    ['a cycle', cycle()],
    ['a cycle through a Map', cycleOfMap()],
    ['501 levels', nested(501)],
    ['501 levels with a BigInt', nested(501, [1n])],
    ['a BigInt of 10,001 digits', 10n ** 10_000n],
    ['a negative BigInt of 10,001 digits', -(10n ** 10_000n)],
  ])('rejects %s with ERR_CACHE_CODEC', (_, value) => {
    expect(codeOf(() => codec.encode({ value }, 'k'))).toBe('ERR_CACHE_CODEC')
  })

  test('says where a value has no representation', () => {
    const value = { at: new Date(0), lines: [new Map([['secret', [{ total: Symbol('x') }]]])] }
    expect(() => codec.encode({ value }, 'k')).toThrow(
      'a symbol has no representation (at lines[0][0][0].total).',
    )
    expect(() => codec.encode({ value: () => {} }, 'k')).toThrow(
      'structured: a function has no representation.',
    )
    expect(() => codec.encode({ value: cycle() }, 'k')).toThrow('a cycle')
  })

  test('accepts 500 levels', () => {
    for (const value of [nested(500), nested(500, [1n])]) {
      expect(roundTrip(value)).toStrictEqual({ value })
    }
  })

  test('accepts a BigInt of 10,000 digits', () => {
    for (const value of [10n ** 10_000n - 1n, 1n - 10n ** 10_000n]) {
      expect(roundTrip(value)).toStrictEqual({ value })
    }
  })

  test('numbers are counters', async () => {
    const cache = new Cache(referenceStore(), { codec })
    await cache.set('n', 41)
    expect(await cache.increment('n')).toBe(42)
    expect(await cache.get('n')).toBe(42)
  })

  test('loads of remember return what a later hit returns', async () => {
    const cache = new Cache(referenceStore({ async: true }), { codec })
    const load = () => new Map([['at', new Date(5)]])
    for (const _ of [1, 2]) expect(await cache.remember('k', {}, load)).toStrictEqual(load())
  })
})

describe('a key named __proto__', () => {
  const polluted = JSON.parse('{"__proto__":{"isAdmin":true},"constructor":{"prototype":1}}')

  test.each([
    ['in plain JSON', polluted],
    ['beside a special value', { polluted, at: 1n }],
  ])('%s is a key like any other', (_, value) => {
    const decoded = roundTrip(value)?.value as typeof value
    assert.deepStrictEqual(decoded, value) // expect() ignores such a key.
    const inner = 'polluted' in decoded ? decoded.polluted : decoded
    expect(Object.keys(inner)).toEqual(['__proto__', 'constructor'])
    expect(Object.getPrototypeOf(inner)).toBe(Object.prototype)
    expect(inner.isAdmin).toBeUndefined()
    expect(({} as { isAdmin?: true }).isAdmin).toBeUndefined()
  })

  test('in a crafted payload does not set a prototype', () => {
    const { value } = decodeTree('{"__proto__":["Map"],"a":{"__proto__":null}}') as {
      value: { a: object }
    }
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect(Object.getPrototypeOf(value.a)).toBe(Object.prototype)
  })
})

test.each([
  ['an unknown tag', ['RegExp', 'x']],
  ['a tag that is not text', [1]],
  ['an array without a tag', []],
  ['a tag of an inherited name', ['constructor', 'x']],
  ['a Map with a key only', ['Map', 1]],
  ['a BigInt of another text', ['BigInt', '1.5']],
  ['a BigInt of 10,001 digits', ['BigInt', '9'.repeat(10_001)]],
  ['a negative BigInt of 10,001 digits', ['BigInt', `-${'9'.repeat(10_001)}`]],
  ['a BigInt that is a number', ['BigInt', 1]],
  ['an unknown constant', ['constant', '1']],
  ['a Date of text', ['Date', '2020']],
  ['a Date of an array', ['Date', ['']]],
  ['bytes of a number', ['bytes', 5]],
  ['only undefined', ['constant', 'undefined']],
  ['a constant with more content', ['constant', 'NaN', 1]],
  ['a damaged member', { a: ['', ['Set', ['?']]] }],
  ['too many levels', `${'["",'.repeat(600)}1${']'.repeat(600)}`],
  ['100,000 levels', '["",'.repeat(100_000)],
  ['text that is not JSON', '{'],
  ['no text', ''],
])('a payload with %s is a miss', (_, tree) => {
  expect(decodeTree(tree)).toBeUndefined()
})

function cycle(): object {
  const object: { self?: object } = {}
  object.self = object
  return object
}

function cycleOfMap(): object {
  const map = new Map<string, unknown>()
  return map.set('self', [map])
}

/** An array in an array, and so on: `levels` of them. */
function nested(levels: number, innermost: unknown[] = []): unknown {
  let value: unknown = innermost
  for (let level = 1; level < levels; level++) value = [value]
  return value
}
