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

describe('keeps the contract', () => {
  const clock = new ManualClock()
  const create = () => withBatching(referenceStore({ clock, async: true, limits: { ttlStep: 1 } }))
  conform(test, create, { wait: (ms) => clock.advance(ms), exact: true })
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
    const { store, calls } = setup({ sets: false })
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
