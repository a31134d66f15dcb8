import assert from 'node:assert/strict'
import type { Awaitable, Cache } from '@stowage/core'
import { type ConformanceCase, group } from '../support/case.ts'
import type { AnyStore, Fixture } from '../support/fixture.ts'
import { newProcessCaches } from '../support/processes.ts'

const mebibyte = 1_048_576
const rounds = 20
/** With how many keys a call over a mark is tried: a slow machine may need seconds for each, which then prove nothing. */
const maxMarks = 100
/** How long the mark of a value that is not kept stands. */
const markMs = 1_000
/** So many that each of a few nodes most probably has one. */
const controlKeys = 20

/** What a sequence writes. Its key holds `before`. */
interface Items {
  readonly before: unknown
  readonly first: unknown
  readonly second: unknown
}

interface Sequence {
  /** The calls, all made in one tick. */
  readonly calls: (store: AnyStore, key: string, items: Items) => Awaitable<unknown>[]
  /** Their results, with the text of items. */
  readonly results: readonly unknown[]
  /** The text that is stored at the end. */
  readonly stored: string | undefined
}

/** The result of a call that returns nothing of interest. */
const any = Symbol('any')
const increments = Array.from({ length: 20 }, (_, index) => index + 1)

/** The key contains the item "before" when a sequence begins. */
const sequences: Readonly<Record<string, Sequence>> = {
  'set, set': {
    calls: (store, key, { first, second }) => [store.set(key, first), store.set(key, second)],
    results: [any, any],
    stored: 'second',
  },
  'set, set with a ttl, set': {
    calls: (store, key, { first, second }) => [
      store.set(key, first),
      store.set(key, first, 60_000),
      store.set(key, second),
    ],
    results: [any, any, any],
    stored: 'second',
  },
  'set, delete': {
    calls: (store, key, { first }) => [store.set(key, first), store.delete(key)],
    results: [any, true],
    stored: undefined,
  },
  'delete, set': {
    calls: (store, key, { second }) => [store.delete(key), store.set(key, second)],
    results: [true, any],
    stored: 'second',
  },
  'delete, add': {
    calls: (store, key, { second }) => [store.delete(key), store.add(key, second)],
    results: [true, true],
    stored: 'second',
  },
  'get, set, get': {
    calls: (store, key, { second }) => [store.get(key), store.set(key, second), store.get(key)],
    results: ['before', any, 'second'],
    stored: 'second',
  },
  'set, compareAndSet': {
    calls: (store, key, { first, second }) => [
      store.set(key, first),
      store.compareAndSet(key, first, second),
    ],
    results: [any, true],
    stored: 'second',
  },
  'set, touch, delete': {
    calls: (store, key, { first }) => [
      store.set(key, first),
      store.touch(key, 60_000),
      store.delete(key),
    ],
    results: [any, true, true],
    stored: undefined,
  },
  'delete, increments': {
    calls: (store, key) => [store.delete(key), ...increments.map(() => store.increment(key, 1))],
    results: [true, ...increments],
    stored: '20',
  },
  'setMany, set, getMany': {
    calls: (store, key, { first, second }) => [
      store.setMany([
        [`${key}:2`, first],
        [key, first],
      ]),
      store.set(key, second),
      store.getMany([key]),
    ],
    results: [any, any, ['second']],
    stored: 'second',
  },
  'set, setMany': {
    calls: (store, key, { first, second }) => [
      store.set(key, first),
      store.setMany([
        [key, second],
        [`${key}:2`, second],
      ]),
    ],
    results: [any, any],
    stored: 'second',
  },
  'setMany that names a key twice, set': {
    calls: (store, key, { first, second }) => [
      store.setMany([
        [key, first],
        [`${key}:2`, first],
        [key, second],
      ]),
      store.getMany([key]),
      store.set(key, second),
    ],
    results: [any, ['second'], any],
    stored: 'second',
  },
  'delete, setMany with a ttl that names a key twice': {
    calls: (store, key, { first, second }) => [
      store.delete(key),
      store.setMany(
        [
          [key, first],
          [`${key}:2`, first],
          [`${key}:2`, second],
          [key, second],
        ],
        60_000,
      ),
      store.getMany([key, `${key}:2`]),
    ],
    results: [true, any, ['second', 'second']],
    stored: 'second',
  },
  'setMany, deleteMany': {
    calls: (store, key, { first }) => [
      store.setMany([
        [key, first],
        [`${key}:2`, first],
      ]),
      store.deleteMany([`${key}:2`, key]),
    ],
    results: [any, 2],
    stored: undefined,
  },
  'setMany with a ttl, deleteMany': {
    calls: (store, key, { first }) => [
      store.setMany(
        [
          [key, first],
          [`${key}:2`, first],
        ],
        60_000,
      ),
      store.deleteMany([`${key}:2`, key]),
    ],
    results: [any, 2],
    stored: undefined,
  },
  'getMany, setMany, getMany, deleteMany': {
    calls: (store, key, { second }) => [
      store.getMany([`${key}:3`, key]),
      store.setMany([
        [`${key}:2`, second],
        [key, second],
      ]),
      store.getMany([key, `${key}:2`]),
      store.deleteMany([key, `${key}:2`]),
    ],
    results: [[undefined, 'before'], any, ['second', 'second'], 2],
    stored: undefined,
  },
  'getWithTtl, set, set, getWithTtl, delete, getWithTtl': {
    calls: (store, key, { first, second }) => [
      getWithTtl(store, key),
      store.set(key, first, 60_000),
      store.set(key, second),
      getWithTtl(store, key),
      store.delete(key),
      getWithTtl(store, key),
    ],
    results: [['before'], any, any, ['second'], true, [undefined]],
    stored: undefined,
  },
  'increment, getMany, setMany, set': {
    calls: (store, key, { first, second }) => [
      store.increment(`${key}:2`, 1),
      store.getMany([`${key}:2`, key]),
      store.setMany([
        [`${key}:2`, first],
        [key, first],
      ]),
      store.set(key, second),
    ],
    results: [1, ['1', 'before'], any, any],
    stored: 'second',
  },
  'getMany, deleteMany': {
    calls: (store, key) => [store.getMany([key, key]), store.deleteMany([key])],
    results: [['before', 'before'], 1],
    stored: undefined,
  },
}

function statusOf({ status }: PromiseSettledResult<unknown>): string {
  return status
}

/** Returns the items without their ttls; those of `getMany` from a store without `getWithTtl`. */
async function getWithTtl(store: AnyStore, key: string): Promise<unknown[]> {
  if (store.getWithTtl === undefined) return store.getMany([key])
  return (await store.getWithTtl([key])).map((found) => found?.item)
}

const sequenceCases = Object.entries(sequences).map(([name, sequence]) => [
  `calls of one key in one tick take effect in order: ${name}`,
  (fixture: Fixture) => assertInOrder(fixture, name, sequence),
])

export const order: readonly ConformanceCase[] = group('order', {
  ...Object.fromEntries(sequenceCases),

  'calls of one key through a cache take effect in order': async ({ newCache, newKey }) => {
    for (const cache of [newCache(), newCache({ prefix: newKey('p:') })]) {
      for (let round = 0; round < rounds; round++) {
        const key = newKey()
        await Promise.all([cache.set(key, 1), cache.set(key, 2)])
        assert.equal(await cache.get(key), 2, 'set, set: the second value is stored')
        const [before, , after] = await Promise.all([
          cache.get(key),
          cache.set(key, 3),
          cache.getMany([key]),
        ])
        assert.deepEqual([before, after], [2, [3]], 'get, set, getMany: each reads its own state')
        const [, deleted] = await Promise.all([cache.set(key, 4), cache.delete(key)])
        assert.equal(deleted, true, 'set, delete: the value is deleted')
        assert.equal(await cache.get(key), undefined, 'set, delete: the value is deleted')
        const sums = await Promise.all(increments.map(() => cache.increment(key)))
        assert.deepEqual(sums, increments, 'increments return their sums in order')
      }
    }
  },

  'an increment that is refused stores nothing after a later delete': async (fixture) => {
    const cache = fixture.newCache({ prefix: fixture.newKey('p:') })
    for (const key of fixture.newKeys(rounds)) {
      const refused = 'an increment of a text is refused'
      const outcomes = await Promise.allSettled([
        cache.set(key, 'text'),
        cache.increment(key, 0),
        cache.delete(key),
      ])
      assert.deepEqual(outcomes.map(statusOf), ['fulfilled', 'rejected', 'fulfilled'], refused)
      assert.equal(await cache.get(key), undefined, 'set, increment, delete: nothing is stored')
    }
  },

  'calls after an add over a mark take effect after it': async (fixture) => {
    const [cache] = await newProcessCaches(fixture)
    const addAnd = <T>(value: unknown, call: (key: string) => Promise<T>) =>
      overMark(fixture, cache, async (key) => {
        const [isAdded, result] = await Promise.all([cache.add(key, value), call(key)])
        assert.ok(isAdded, 'an add over a mark adds')
        return result
      })
    for (let round = 0; round < 5; round++) {
      const read = await addAnd('value', (key) => cache.get(key))
      assert.equal(read.result, 'value', 'a get after an add reads the value')
      const deleted = await addAnd('value', (key) => cache.delete(key))
      assert.equal(deleted.result, true, 'a delete after an add deletes the value')
      assert.equal(await cache.get(deleted.key), undefined, 'nothing is stored')
      const sum = await addAnd(10, (key) => cache.increment(key, 2))
      assert.equal(sum.result, 12, 'an increment after an add counts from its value')
      assert.equal(await cache.get(sum.key), 12, 'the sum is stored')
    }
  },

  'calls after an increment over a mark take effect after it': async (fixture) => {
    const [a, b] = await newProcessCaches(fixture)
    for (let round = 0; round < 5; round++) {
      const { key, result } = await overMark(fixture, a, (key) => {
        const sums = [a.increment(key, -0), b.increment(key), a.increment(key, 2), b.increment(key)]
        return Promise.all([a.get(key), b.get(key), ...sums])
      })
      const [ends, ...others] = result
      assert.ok(typeof ends === 'number', 'a get after an increment reads the counter')
      assert.ok(typeof others[0] === 'number', 'a get after an increment reads the counter')
      const highest = Math.max(...(others.slice(1) as number[]))
      assert.equal(highest, 4, 'each increment over a mark is counted')
      assert.ok(!others.some((sum) => Object.is(sum, -0)), 'a sum is never −0')
      assert.equal(await b.get(key, { consistency: 'strong' }), 4, 'the sum is stored')
    }
    const { result: sum } = await overMark(fixture, a, (key) => a.increment(key, -0))
    assert.ok(Object.is(sum, 0), 'increment(key, -0) over a mark returns 0')
  },
})

/**
 * Makes calls for a key that contains a mark. On a busy machine, the mark may expire between a call and the look at what has
 * refused it, so that the call fails: then, with another key. The clock of a server may jump as well, so that only items which
 * were stored before the mark show that it has not expired.
 */
async function overMark<T>(
  fixture: Fixture,
  cache: Cache,
  calls: (key: string) => Promise<T>,
): Promise<{ readonly key: string; readonly result: T }> {
  const { store, item, newKeys } = fixture
  let failure: unknown
  for (const key of newKeys(maxMarks)) {
    const controls = newKeys(controlKeys)
    await store.setMany(
      controls.map((control) => [control, item('control')] as const),
      markMs,
    )
    // A value that is not kept leaves a mark for a moment.
    await cache.remember(key, {}, () => undefined)
    try {
      return { key, result: await calls(key) }
    } catch (error) {
      const hasExpired = (await store.getMany(controls)).includes(undefined)
      if (!hasExpired) throw error
      failure = error
    }
  }
  throw failure
}

async function assertInOrder(fixture: Fixture, name: string, sequence: Sequence): Promise<void> {
  const { newKeys, store } = fixture
  // A large item may take more requests, or more time, than the one after it.
  const largeBytes = Math.min(2 * mebibyte, store.limits.valueBytes)
  for (const key of newKeys(rounds)) await assertSequence(fixture, name, sequence, [key], 'first')
  await assertSequence(fixture, name, sequence, newKeys(rounds), 'first')
  for (const key of newKeys(3)) {
    await assertSequence(fixture, name, sequence, [key], 'x'.repeat(largeBytes))
  }
}

/** Makes the calls of all keys in one tick. */
async function assertSequence(
  { store, item, read, textOf }: Fixture,
  name: string,
  { calls, results, stored }: Sequence,
  keys: readonly string[],
  firstText: string,
): Promise<void> {
  const items = { before: item('before'), first: item(firstText), second: item('second') }
  for (const key of keys) await store.set(key, items.before)
  const outcomes = await Promise.all(keys.flatMap((key) => calls(store, key, items)))
  const expected = keys.flatMap(() => results)
  const described = outcomes.map((outcome, index) =>
    expected[index] === any ? any : describe(outcome, textOf),
  )
  assert.deepEqual(described, expected, `${name}: every call sees the calls before it`)
  for (const key of keys) {
    const text = shortened(await read(key))
    assert.equal(text, stored, `${name}: the last call of the tick decides`)
  }
}

/** The result of a call, with the text of items. */
function describe(result: unknown, textOf: Fixture['textOf']): unknown {
  if (Array.isArray(result)) return result.map((item) => shortened(textOf(item)))
  const isItem = typeof result !== 'number' && typeof result !== 'boolean'
  return isItem ? shortened(textOf(result)) : result
}

/** A text for messages, which a large item would make unreadable. */
function shortened(text: string | undefined): string | undefined {
  return text === undefined || text.length < 100 ? text : `${text.length} characters`
}
