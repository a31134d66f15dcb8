import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { propertySeed } from '@stowage/test-servers'
import { referenceStore } from '@stowage/testing'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { gate } from './two-processes.ts'

fc.configureGlobal({ seed: propertySeed() })

type Argument = string | number | boolean | bigint | null

function keysOf(name = 'f') {
  return new Cache(memory()).wrap((...args: Argument[]) => args.length, { name })
}

describe('a wrapped function', () => {
  test('is called once per arguments', async () => {
    const calls: unknown[] = []
    const add = new Cache(memory()).wrap(
      async (a: number, b: number) => {
        calls.push([a, b])
        return a + b
      },
      { name: 'add' },
    )
    expect([await add(1, 2), await add(1, 2), await add(2, 1)]).toEqual([3, 3, 3])
    expect(calls).toEqual([
      [1, 2],
      [2, 1],
    ])
  })

  test('shares concurrent calls, and does not store what is deleted meanwhile', async () => {
    const result = gate<string>()
    let calls = 0
    const find = new Cache(referenceStore({ async: true })).wrap(
      (_id: number) => {
        calls++
        return result.opened
      },
      { name: 'find' },
    )
    const both = [find(1), find(1)]
    await new Promise((resolve) => setImmediate(resolve))
    await find.delete(1)
    result.open('old')
    expect(await Promise.all(both)).toEqual(['old', 'old'])
    expect(calls).toBe(1)
    await find(1)
    expect(calls).toBe(2)
  })

  test('delete, refresh and keyOf affect the entry of their arguments', async () => {
    const cache = new Cache(memory())
    let version = 0
    const find = cache.wrap((id: string) => `${id} ${++version}`, { name: 'find', ttl: '1m' })
    expect(await find('a')).toBe('a 1')
    expect(await find('b')).toBe('b 2')
    expect(await cache.get(find.keyOf('a'))).toBe('a 1')
    expect(await find.refresh('a')).toBe('a 3')
    expect(await find('a')).toBe('a 3')
    expect(await find.delete('a')).toBe(true)
    expect(await find.delete('a')).toBe(false)
    expect(await find('a')).toBe('a 4')
    expect(await find('b')).toBe('b 2')
  })

  test('expire makes the entry stale', async () => {
    let version = 0
    const find = new Cache(memory()).wrap(() => ++version, {
      name: 'find',
      ttl: '1m',
      staleWhileRevalidate: '1m',
    })
    await find()
    expect(await find.expire()).toBe(true)
    expect(await find()).toBe(1)
    await expect.poll(() => find()).toBe(2)
  })

  test('does not receive this', async () => {
    const find = new Cache(memory()).wrap(
      function (this: unknown) {
        return this === undefined
      },
      { name: 'find' },
    )
    expect(await find.call({ id: 1 })).toBe(true)
  })

  test('rejects an unknown option and an empty name', async () => {
    const cache = new Cache(memory())
    await expect(cache.wrap(() => 1, { name: 'f', tll: '1m' } as never)()).rejects.toThrow(/tll/)
    const message = 'wrap: pass a function and the first part of its keys'
    expect(() => cache.wrap(() => 1, { name: '' })).toThrow(message)
    expect(() => cache.wrap(() => 1, undefined as never)).toThrow(message)
    expect(() => cache.wrap('f' as never, { name: 'f' })).toThrow(message)
  })
})

describe('the key of a wrapped function', () => {
  test('differs for different arguments: a 32-bit hash returned the profile of another user', () => {
    const { keyOf } = keysOf()
    const argument = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom('1', '1n', '"', '\\', '","', 'null', 'true', '\ud800', '\udc00', '\ufffd'),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.integer({ min: -2, max: 2 }),
      fc.bigInt({ min: -2n, max: 2n }),
      fc.boolean(),
      fc.constant(null),
    )
    const args = fc.array(argument, { maxLength: 3 })
    const isSame = (a: Argument[], b: Argument[]) =>
      a.length === b.length && a.every((each, index) => Object.is(each, b[index]))
    fc.assert(
      fc.property(args, args, (a, b) => (keyOf(...a) === keyOf(...b)) === isSame(a, b)),
      { numRuns: 5_000 },
    )
  })

  const pairs: [Argument[], Argument[]][] = [
    [['1'], [1]],
    [[1], [1n]],
    [['1n'], [1n]],
    [[1], [true]],
    [['null'], [null]],
    [['a,b'], ['a', 'b']],
    [['a","b'], ['a', 'b']],
    [[], [null]],
    [[0], [-0]],
    [[], ['']],
    [['\ud800'], ['\\ud800']],
    [['\ud800'], ['\ufffd']],
  ]
  const named = pairs.map(([a, b]) => [fc.stringify(a), fc.stringify(b), a, b] as const)
  test.each(named)('differs for %s and %s', async (_a, _b, a, b) => {
    const store = referenceStore()
    let calls = 0
    const find = new Cache(store).wrap((..._: Argument[]) => ++calls, { name: 'f' })
    expect([await find(...a), await find(...b)]).toEqual([1, 2])
  })

  test('differs for different names', () => {
    expect(keysOf('f').keyOf(1, 'a')).toBe('f:[1,"a"]')
    const one = new Cache(memory()).wrap(() => 1, { name: 'a', key: () => 'b:c' })
    const two = new Cache(memory()).wrap(() => 1, { name: 'a:b', key: () => 'c' })
    expect(one.keyOf()).not.toBe(two.keyOf())
    expect(keysOf('~tag').keyOf()).not.toMatch(/^~/)
  })

  test('receives optional parameters and those with a default', async () => {
    const cache = new Cache(memory())
    const find = async (id: string, page?: number) => `${id} ${page}`
    const paged = cache.wrap(find, { name: 'a', key: (id, page) => `${id}:${page ?? 1}` })
    expect([await paged('x'), await paged('x', 1)]).toEqual(['x undefined', 'x undefined'])
    const first = cache.wrap(find, { name: 'b', key: (id) => id })
    expect([await first('x', 1), await first('x', 2)]).toEqual(['x 1', 'x 1'])
    const withDefault = async (id: string, page = 3) => `${id} ${page}`
    const key = (id: string, page = 3) => `${id}:${page}`
    expect(await cache.wrap(withDefault, { name: 'c', key })('x')).toBe('x 3')
    // @ts-expect-error: not a parameter of the function
    cache.wrap(find, { name: 'd', key: (id: number) => String(id) })
  })

  test('must be a string', async () => {
    const key = () => undefined as never
    const find = new Cache(memory()).wrap(() => 1, { name: 'f', key })
    await expect(find()).rejects.toThrow(/option key of wrap must return a string/)
  })

  test.each<[string, unknown[]]>([
    ['undefined', [undefined]],
    ['a trailing undefined', [1, undefined]],
    ['NaN', [Number.NaN]],
    ['Infinity', [Infinity]],
    ['an object', [{ id: 1 }]],
    ['a date', [new Date(0)]],
    ['an array', [['a']]],
    ['a symbol', [Symbol('a')]],
    ['a function', [() => 1]],
  ])('cannot be derived from %s', async (_, args) => {
    const cache = new Cache(memory())
    const find = cache.wrap((...all: unknown[]) => all.length, { name: 'f' })
    const error = { name: 'TypeError', message: expect.stringContaining('option key') }
    await expect(find(...args)).rejects.toMatchObject(error)
    await expect(find(...args)).rejects.toThrow(`from argument ${args.length}:`)
    const keyed = cache.wrap((...all: unknown[]) => all.length, { name: 'g', key: () => 'k' })
    expect(await keyed(...args)).toBe(args.length)
  })
})
