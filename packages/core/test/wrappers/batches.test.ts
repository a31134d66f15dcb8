import { CacheError, tracing, withBatching } from '@stowage/core'
import { BatchError, type ByteStore, wrapStore } from '@stowage/core/driver'
import { carryCallers } from '@stowage/core/tools'
import { memory } from '@stowage/memory'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import type { AnyStore } from '../../src/store.ts'
import { GetBatch, SetBatch } from '../../src/wrappers/batching/batches.ts'

type Call = readonly unknown[]

/** A store that returns what it was called with, or fails. */
function setUp() {
  const calls: Call[] = []
  const state: { error?: unknown } = {}
  const replyTo = async <T>(call: Call, result: T): Promise<T> => {
    calls.push(call)
    if (state.error !== undefined) throw state.error
    return result
  }
  const named = (key: unknown) => `value of ${key}`
  const store = {
    get: (...args: unknown[]) => replyTo(['get', ...args], named(args[0])),
    getMany: (...args: [string[], unknown]) => replyTo(['getMany', ...args], args[0].map(named)),
    set: (...args: unknown[]) => replyTo(['set', ...args], undefined),
    setMany: (...args: unknown[]) => replyTo(['setMany', ...args], undefined),
  } as unknown as AnyStore
  return { store, calls, state }
}

const strong = { consistency: 'strong' } as const
const down = new CacheError('ERR_CACHE_UNAVAILABLE', 'down', { store: 'test', operation: 'x' })

describe('reads', () => {
  const create = () => {
    const { store, calls, state } = setUp()
    const batch = new GetBatch(store, strong)
    return { batch, calls, state, send: () => batch.settle(batch.send()) }
  }

  test('of one key are a get', async () => {
    const { batch, calls, send } = create()
    expect([batch.size, batch.has('a')]).toEqual([0, false])
    const results = [batch.add('a'), batch.add('a')]
    expect([batch.size, batch.has('a'), batch.has('b')]).toEqual([1, true, false])
    send()
    expect(await Promise.all(results)).toEqual(['value of a', 'value of a'])
    expect(calls).toEqual([['get', 'a', strong]])
  })

  test('of a list are passed on as they are', async () => {
    const { batch, calls, send } = create()
    const result = batch.addMany(['a', 'b', 'a'])
    expect([batch.size, batch.has('b'), batch.has('c')]).toEqual([3, true, false])
    send()
    expect(await result).toEqual(['value of a', 'value of b', 'value of a'])
    expect(calls).toEqual([['getMany', ['a', 'b', 'a'], strong]])
  })

  test.each<[string, (batch: GetBatch) => Promise<unknown>[], string[], unknown[]]>([
    ['a list and its key', (batch) => [batch.addMany(['a']), batch.add('a')], ['a'], [['a'], 'a']],
    ['a key and its list', (batch) => [batch.add('a'), batch.addMany(['a'])], ['a'], ['a', ['a']]],
    [
      'a key and another list',
      (batch) => [batch.add('a'), batch.addMany(['b', 'a'])],
      ['a', 'b'],
      ['a', ['b', 'a']],
    ],
    [
      'two lists',
      (batch) => [batch.addMany(['a', 'b']), batch.addMany(['c', 'a'])],
      ['a', 'b', 'c'],
      [
        ['a', 'b'],
        ['c', 'a'],
      ],
    ],
    ['two keys', (batch) => [batch.add('a'), batch.add('b')], ['a', 'b'], ['a', 'b']],
  ])('of %s are one call', async (_, add, keys, expected) => {
    const { batch, calls, send } = create()
    const results = add(batch)
    expect(batch.size).toBe(keys.length)
    expect(keys.every((key) => batch.has(key))).toBe(true)
    send()
    const named = (key: unknown) => `value of ${key}`
    expect(await Promise.all(results)).toEqual(
      expected.map((each) => (Array.isArray(each) ? each.map(named) : named(each))),
    )
    expect(calls).toEqual([['getMany', keys, strong]])
  })

  test('fail with the outcome of their own key', async () => {
    const { batch, state, send } = create()
    state.error = new BatchError([
      { status: 'fulfilled', value: 'value of a' },
      { status: 'rejected', reason: down },
    ])
    const results = [
      batch.add('a'),
      batch.add('b'),
      batch.addMany(['a']),
      batch.addMany(['a', 'b']),
    ]
    send()
    const [a, b, ofA, ofBoth] = await Promise.allSettled(results)
    expect(a).toMatchObject({ value: 'value of a' })
    expect(b).toMatchObject({ reason: { operation: 'get', key: 'b' } })
    expect(ofA).toMatchObject({ value: ['value of a'] })
    const [first, second] = (ofBoth as PromiseRejectedResult).reason.outcomes
    expect(first).toEqual({ status: 'fulfilled', value: 'value of a' })
    expect(second).toMatchObject({ reason: { operation: 'getMany', key: 'b' } })
  })
})

describe('writes', () => {
  test.each([
    [['a'], [['set', 'a', 'item a', 5]]],
    [
      ['a', 'b'],
      [
        [
          'setMany',
          [
            ['a', 'item a'],
            ['b', 'item b'],
          ],
          5,
        ],
      ],
    ],
  ])('of %j', async (keys, expected) => {
    const { store, calls } = setUp()
    const batch = new SetBatch(store, 5)
    const results = keys.map((key) => batch.add(key, `item ${key}`))
    expect([batch.size, batch.has('a'), batch.has('x')]).toEqual([keys.length, true, false])
    batch.settle(batch.send() as Promise<void>)
    expect(await Promise.all(results)).toEqual(keys.map(() => undefined))
    expect(calls).toEqual(expected)
  })
})

describe('a batching store', () => {
  function batching(options: object = {}, inner: ByteStore = referenceStore({ async: true })) {
    const calls: Call[] = []
    const recorded = wrapStore(inner, (operation, call, args) => {
      calls.push([operation, ...args])
      return call()
    })
    return { store: withBatching(recorded, options), calls, named: () => calls.map(nameOf) }
  }
  const nameOf = ([operation, first]: Call) =>
    `${operation} ${operation === 'setMany' ? (first as [string][]).map(([key]) => key) : first}`

  test('passes only the consistency on', async () => {
    const { store, calls } = batching()
    await store.get('a')
    await store.get('a', { ...strong, forUpdate: true } as never)
    expect(calls).toEqual([
      ['get', 'a', undefined],
      ['get', 'a', strong],
    ])
  })

  test('does not split a batch by default', async () => {
    const { store, calls } = batching()
    await Promise.all(Array.from({ length: 40 }, (_, index) => store.get(`k${index}`)))
    expect(calls).toHaveLength(1)
  })

  test('fills a batch up to exactly its limit', async () => {
    const { store, named } = batching({ maxKeys: 4 })
    await Promise.all([store.get('a'), store.get('b'), store.getMany(['c', 'd'])])
    await Promise.all([store.get('a'), store.get('b'), store.get('c'), store.getMany(['d', 'e'])])
    expect(named()).toEqual(['getMany a,b,c,d', 'getMany a,b,c', 'getMany d,e'])
  })

  test('sends the writes before a read of more keys than a batch has, and of none', async () => {
    const { store, named } = batching({ maxKeys: 2 })
    await Promise.all([store.set('x', '1'), store.getMany(['a', 'b'])])
    expect(named()).toEqual(['getMany a,b', 'set x'])
    await Promise.all([store.set('x', '1'), store.getMany(['a', 'b', 'c'])])
    expect(named().slice(2)).toEqual(['set x', 'getMany a,b,c'])
    await Promise.all([store.set('x', '1'), store.getMany([])])
    expect(named().slice(4)).toEqual(['set x', 'getMany '])
  })

  test('merges writes of values that are kept by reference', async () => {
    const inner = memory({ values: 'shared' }) as unknown as ByteStore
    expect(inner.payload).toBe('entry')
    const { store, named } = batching({ maxSetBytes: 1 }, inner)
    const item = { value: 'a long text' } as never
    await Promise.all([store.set('a', item), store.set('b', item)])
    expect(named()).toEqual(['setMany a,b'])
  })

  test('forgets idle queues of other ttls beyond sixteen, and no others', async () => {
    const { store, named } = batching()
    for (let ttl = 1_000; ttl < 1_016; ttl++) await store.set('k', 'v', ttl)
    const removed = vi.spyOn(Map.prototype, 'delete')
    try {
      const ttls = () => removed.mock.calls.filter(([key]) => 1_000 <= key && key < 1_016)
      const writing = store.set('k', 'v', 1_015)
      expect(ttls()).toEqual([])
      await writing
      const next = store.set('k', 'v', 2_000)
      expect(ttls()).toHaveLength(16)
      await next
    } finally {
      removed.mockRestore()
    }
    const reading = store.get('other')
    const writes = Array.from({ length: 20 }, (_, index) =>
      store.set(`k${index}`, 'v', 3_000_000 + index),
    )
    const read = store.get('k0')
    expect(String(await read)).toBe('v')
    await Promise.all([reading, ...writes])
    expect(named().indexOf('set k0')).toBeLessThan(named().indexOf('getMany other,k0'))
  })

  test('knows the callers of a batch while somebody asks for them', async () => {
    const callers: unknown[] = []
    let current: readonly string[] = []
    const stop = carryCallers({
      current: () => current as never,
      run: (joined, work) => {
        callers.push(joined)
        return work()
      },
    })
    const { store } = batching()
    const getAs = (caller: string) => {
      current = [caller]
      return store.get('a')
    }
    await Promise.all([getAs('a'), getAs('b')])
    expect(callers).toEqual([])
    const subscriber = () => {}
    tracing.store.start.subscribe(subscriber)
    try {
      await Promise.all([getAs('a'), getAs('b'), getAs('a')])
    } finally {
      tracing.store.start.unsubscribe(subscriber)
      stop()
    }
    expect(callers).toEqual([['a', 'b']])
  })
})
