import { setImmediate as turn } from 'node:timers/promises'
import {
  type BatchingOptions,
  CacheError,
  type StoreOperation,
  withBatching,
  wrapStore,
} from '@stowage/core'
import { Chaos, conform, ManualClock, referenceStore, withChaos } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

const limits = { keyBytes: 250, valueBytes: 100, ttlStep: 1 }

/** A batching store, and the calls that reached the store inside, such as `getMany a,b`. */
function setup(options: BatchingOptions = {}, chaos = new Chaos()) {
  const calls: string[] = []
  const inner = withChaos(referenceStore({ async: true, limits }), chaos)
  const recorded = wrapStore(inner, (operation, call, [first]) => {
    calls.push(`${operation} ${keysOf(operation, first)}`.trim())
    return call()
  })
  return { store: withBatching(recorded, options), calls, chaos }
}

function keysOf(operation: StoreOperation, first: unknown): string {
  if (operation === 'setMany') return (first as [string, unknown][]).map(([key]) => key).join()
  return String(first ?? '')
}

describe.each([{}, { overlap: true }])('keeps the contract with %o', (options) => {
  const clock = new ManualClock()
  const create = () =>
    withBatching(referenceStore({ clock, async: true, limits: { ttlStep: 1 } }), options)
  conform(test, create, { wait: (ms) => clock.advance(ms), exact: true })
})

describe('many gets that may overlap', () => {
  const names = Array.from({ length: 40 }, (_, i) => `k${i}`)
  const sizes = (calls: string[]) => calls.map((call) => call.split(',').length)

  test('leave in two batches, and all are answered as asked', async () => {
    const { store, calls } = setup({ overlap: true })
    await store.setMany(names.map((name) => [name, name]))
    calls.length = 0
    const found = await Promise.all([...names, 'k39', 'k0'].map((name) => store.get(name)))
    expect(found.map(String)).toEqual([...names, 'k39', 'k0'])
    expect(sizes(calls)).toEqual([20, 20])
  })

  test('are one batch where few; what comes before the second has left fills both', async () => {
    const { store, calls } = setup({ overlap: true })
    await Promise.all(names.slice(0, 16).map((name) => store.get(name)))
    const all = names.map((name) => store.get(name))
    await Promise.resolve()
    expect(sizes(calls)).toEqual([16])
    await new Promise((resolve) => process.nextTick(resolve))
    const more = names.map((name) => store.get(`more ${name}`))
    await Promise.all([...all, ...more])
    expect(sizes(calls)).toEqual([16, 20, 30, 30])
  })

  test('are all sent before what comes after them', async () => {
    const { store, calls } = setup({ overlap: true })
    const reads = names.map((name) => store.get(name))
    await store.delete('k39')
    await Promise.all(reads)
    expect(sizes(calls)).toEqual([20, 20, 1])
  })
})

describe('gets', () => {
  test('of one tick are one getMany, each key asked for once', async () => {
    const { store, calls } = setup()
    await store.set('a', '1')
    calls.length = 0
    const found = await Promise.all(['a', 'b', 'a'].map((key) => store.get(key)))
    expect(calls).toEqual(['getMany a,b'])
    expect(found.map((item) => item && String(item))).toEqual(['1', undefined, '1'])
  })

  test('that promises of the same turn lead to are in the batch too', async () => {
    const { store, calls } = setup()
    await Promise.all([store.get('a'), Promise.resolve().then(() => store.get('b'))])
    expect(calls).toEqual(['getMany a,b'])
  })

  test('a lone one goes through as it is', async () => {
    const { store, calls } = setup()
    await store.get('a')
    await turn()
    await store.get('b')
    expect(calls).toEqual(['get a', 'get b'])
  })

  test('a full batch leaves at once', async () => {
    const { store, calls } = setup({ maxKeys: 2 })
    await Promise.all(['a', 'b', 'c'].map((key) => store.get(key)))
    expect(calls).toEqual(['getMany a,b', 'get c'])
  })

  test('a failure is everybody’s, and the next tick starts anew', async () => {
    const { store, chaos } = setup()
    chaos.fail('getMany', { times: 1 })
    const outcomes = await Promise.allSettled([store.get('a'), store.get('b')])
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
    expect(await Promise.all([store.get('a'), store.get('b')])).toEqual([undefined, undefined])
  })
})

describe('sets', () => {
  test('of one tick are one setMany for each ttl', async () => {
    const { store, calls } = setup()
    await Promise.all([store.set('a', '1', 10), store.set('b', '2'), store.set('c', '3', 10)])
    expect(calls).toEqual(['setMany a,c', 'set b'])
  })

  test('of one key: the last wins, also with another ttl', async () => {
    const { store } = setup()
    await Promise.all([
      store.set('a', '1', 60_000),
      store.set('b', '1', 60_000),
      store.set('a', '2'),
    ])
    expect(String(await store.get('a'))).toBe('2')
    await Promise.all([store.set('a', '3'), store.set('a', '4')])
    expect(String(await store.get('a'))).toBe('4')
  })

  test('one that is too large fails alone', async () => {
    const { store } = setup()
    const outcomes = await Promise.allSettled([
      store.set('a', '1'),
      store.set('b', 'x'.repeat(101)),
      store.set('c', '3'),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect(CacheError.is((outcomes[1] as PromiseRejectedResult).reason)).toBe(true)
  })

  test('may be left as they are', async () => {
    const { store, calls } = setup({ largestSet: 0 })
    await Promise.all([store.set('a', '1'), store.set('b', '2')])
    expect(calls).toEqual(['set a', 'set b'])
  })
})

describe('order', () => {
  test('a get sees the set before it, and not the one after it', async () => {
    const { store } = setup()
    const writing = store.set('a', 'new')
    const after = store.get('a')
    expect(String(await after)).toBe('new')
    await writing
    const before = store.get('a')
    await Promise.all([store.set('a', 'newer'), before])
    expect(String(await before)).toBe('new')
  })

  test('a get between two sets sees the first', async () => {
    const { store } = setup()
    const calls = [store.set('a', '1'), store.get('a'), store.set('a', '2'), store.get('a')]
    const [, first, , second] = await Promise.all(calls)
    expect([first, second].map(String)).toEqual(['1', '2'])
  })

  test('every other operation comes after what was asked before it', async () => {
    const { store, calls } = setup()
    const pending = [store.set('a', '1'), store.get('b'), store.set('c', '3')]
    expect(await store.delete('a')).toBe(true)
    await Promise.all(pending)
    expect(calls).toEqual(['setMany a,c', 'get b', 'delete a'])
  })
})
