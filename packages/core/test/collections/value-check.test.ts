import { runInNewContext } from 'node:vm'
import { Cache, channels, type StandardSchema } from '@stowage/core'
import { memory } from '@stowage/memory'
import { describe, expect, test } from 'vitest'
import { describeIssues } from '../../src/collections/standard-schema.ts'
import { ValueCheck } from '../../src/collections/value-check.ts'

type Result = ReturnType<StandardSchema['~standard']['validate']>

/** How a schema returns its results. */
const ways = {
  synchronous: (result: Result) => result,
  asynchronous: (result: Result) => Promise.resolve(result),
  'asynchronous, of another realm': (result: Result): Result =>
    runInNewContext('Promise.resolve(result)', { result }),
}

/** A schema of a library that converts texts to upper case, at once or later. */
function upperCase(way: keyof typeof ways) {
  const validated: unknown[] = []
  const validate = (value: unknown): Result => {
    validated.push(value)
    const result =
      typeof value === 'string'
        ? { value: value.toUpperCase() }
        : { issues: [{ message: 'not a text' }] }
    return ways[way](result)
  }
  const standard = { version: 1, vendor: 'test', validate } as const
  return { schema: { '~standard': standard } as StandardSchema<unknown, string>, validated }
}

test('issues are described by their paths and messages', () => {
  const path = ['users', { key: 0 }, Symbol.for('name')]
  const issues = [{ message: 'too short', path }, { message: 'wrong' }, { message: 'x', path: [] }]
  expect(describeIssues(issues)).toBe('users.0.Symbol(name): too short; wrong; x')
})

describe.each(Object.keys(ways) as (keyof typeof ways)[])('a schema, %s', (way) => {
  function setUp(migrate?: (stored: unknown) => unknown) {
    const corrupt: string[] = []
    const { schema, validated } = upperCase(way)
    const check = new ValueCheck<unknown, string>('c', { schema, migrate }, (key) => {
      corrupt.push(key)
    })
    return { check, corrupt, validated }
  }

  test('converts what is loaded and stored, and no missing value', async () => {
    const { check, validated } = setUp()
    expect([await check.loaded('a'), await check.stored('k', 'b')]).toEqual(['A', 'B'])
    expect(await check.loaded(undefined)).toBeUndefined()
    expect(validated).toEqual(['a', 'b'])
    expect(check.isNeeded).toBe(true)
  })

  test('refuses what is loaded and does not fit, alone and among others', async () => {
    const { check } = setUp()
    const message = 'collection c: the value does not fit its schema: not a text'
    const refused = { code: 'ERR_CACHE_CODEC', message: expect.stringContaining(message) }
    await expect(check.loaded(5)).rejects.toMatchObject(refused)
    await expect(check.loadedMany(['a', 5])).rejects.toMatchObject(refused)
    expect(await check.loadedMany(['a', undefined])).toEqual(['a', undefined])
  })

  test('reports what is stored and does not fit', async () => {
    const { check, corrupt } = setUp()
    expect(await check.stored('k', 5)).toBeUndefined()
    expect(corrupt).toEqual(['k'])
  })

  test('reports what does not fit after its migration either', async () => {
    const results: Record<string, unknown> = { good: 'migrated', bad: 7 }
    const { check, corrupt } = setUp(async (stored) => results[(stored as { to: string }).to])
    expect(await check.stored('k', { to: 'good' })).toBe('MIGRATED')
    expect(corrupt).toEqual([])
    expect(await check.stored('k', { to: 'bad' })).toBeUndefined()
    expect(await check.stored('l', { to: 'nothing' })).toBeUndefined()
    expect(corrupt).toEqual(['k', 'l'])
  })
})

test('a misfit without a migration is reported, even if the schema accepts undefined', async () => {
  const corrupt: string[] = []
  const validate = (value: unknown) =>
    value === undefined ? { value } : { issues: [{ message: 'defined' }] }
  const schema = { '~standard': { version: 1, vendor: 'test', validate } } as const
  const check = new ValueCheck<unknown, unknown>('c', { schema }, (key) => corrupt.push(key))
  expect([await check.stored('k', 5), corrupt]).toEqual([undefined, ['k']])
})

test.each([false, true])('set returns the validated value, exact: %s', async (exact) => {
  const { schema } = upperCase('synchronous')
  const texts = new Cache(memory()).collection('text', { schema, exact, load: () => 'text' })
  expect(await texts.set('1', 'saved')).toBe('SAVED')
})

test.each([
  ['a map', (ids: readonly string[]) => new Map(ids.map((id) => [id, `text ${id}`]))],
  ['a list', (ids: readonly string[]) => ids.map((id) => `text ${id}`)],
])('loadMany may resolve to %s', async (_, loaded) => {
  const load = () => 'text'
  const loadMany = async (ids: readonly string[]) => loaded(ids)
  const texts = new Cache(memory()).collection('text', { load, loadMany })
  expect(await texts.getMany(['1', '2'])).toEqual(['text 1', 'text 2'])
  expect(await texts.get('2')).toBe('text 2')
})

test('without a schema, values are what is stored', () => {
  const check = new ValueCheck('c', {}, () => {})
  const stored = {}
  expect(check.stored('k', stored)).toBe(stored)
  expect(check.isNeeded).toBe(false)
})

test('a value is validated once if it cannot change', async () => {
  const validated: unknown[] = []
  const validate = (value: unknown) => {
    validated.push(value)
    return { value }
  }
  const schema = { '~standard': { version: 1, vendor: 'test', validate } } as const
  const check = new ValueCheck<unknown, unknown>('c', { schema }, () => {})
  const [frozen, mutable] = [Object.freeze({ a: 1 }), { a: 1 }]
  for (const value of [frozen, mutable, 'text', null]) {
    for (let count = 0; count < 2; count++) expect(await check.stored('k', value)).toBe(value)
  }
  expect(validated).toEqual([frozen, mutable, mutable, 'text', 'text', null, null])
})

test.each([
  ['is frozen, so that callers can share it', {}, true],
  ['is made for each caller if it cannot be frozen', { at: new Date(0) }, false],
])('what a schema makes of a value that cannot change %s', async (_, added, isShared) => {
  const validate = (value: unknown) => ({ value: { ...(value as object), ...added } })
  const schema = { '~standard': { version: 1, vendor: 'test', validate } } as const
  const check = new ValueCheck<unknown, unknown>('c', { schema }, () => {})
  const stored = Object.freeze({ a: 1 })
  const [first, second] = [await check.stored('k', stored), await check.stored('k', stored)]
  expect([first, second]).toEqual([
    { a: 1, ...added },
    { a: 1, ...added },
  ])
  expect([first === second, Object.isFrozen(first)]).toEqual([isShared, isShared])
})

test('what an application has stored by reference is not frozen', async () => {
  const validate = (value: unknown) => ({ value: { ...(value as object) } })
  const schema = { '~standard': { version: 1, vendor: 'test', validate } } as const
  const check = new ValueCheck<unknown, unknown>('c', { schema }, () => {})
  const list: number[] = []
  const stored = Object.freeze({ list })
  expect(await check.stored('k', stored)).toEqual({ list: [] })
  expect(Object.isFrozen(list)).toBe(false)
})

test('a value of an asynchronous schema comes from the cache, and a misfit is an event', async () => {
  const { schema } = upperCase('asynchronous')
  const cache = new Cache(memory())
  const loads: string[] = []
  const texts = cache.collection('text', {
    schema,
    load: (id: string) => {
      loads.push(id)
      return `text ${id}`
    },
  })
  const corrupt: unknown[] = []
  const listener = (event: unknown) => corrupt.push(event)
  channels.corrupt.subscribe(listener)
  try {
    expect(await texts.getMany(['1', '2'])).toEqual(['TEXT 1', 'TEXT 2'])
    expect([await texts.get('1'), await texts.get('2')]).toEqual(['TEXT 1', 'TEXT 2'])
    await cache.set('text:1', 5)
    expect(await texts.getMany(['1', '2'])).toEqual(['TEXT 1', 'TEXT 2'])
  } finally {
    channels.corrupt.unsubscribe(listener)
  }
  expect([loads, corrupt]).toMatchObject([['1', '2', '1'], [{ key: 'text:1' }]])
})
