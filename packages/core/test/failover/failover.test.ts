import {
  type BreakerOptions,
  Cache,
  CacheError,
  channels,
  type FailoverEvent,
  type FailoverOptions,
  failover,
  withTimeout,
} from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { Chaos, ReferenceStore, withChaos } from '@stowage/testing'
import { afterEach, describe, expect, test } from 'vitest'

const fast: FailoverOptions = { breaker: { probe: 20 }, settle: 100 }
const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

function setUp(options: FailoverOptions = fast, fallback: ByteStore = memory()) {
  const chaos = new Chaos()
  const primary = new ReferenceStore()
  const store = failover([withChaos<ByteStore>(primary, chaos), fallback], options)
  cleanups.push(() => store.close())
  const phases: string[] = []
  const record = (event: unknown) => phases.push((event as FailoverEvent).phase)
  channels.failover.subscribe(record)
  cleanups.push(() => channels.failover.unsubscribe(record))
  return { chaos, primary, fallback, store, phases }
}

const text = (item: unknown) => (item === undefined ? undefined : String(item))

async function untilPhase(phases: readonly string[], phase: string): Promise<void> {
  await expect.poll(() => phases.at(-1), { interval: 5 }).toBe(phase)
}

describe('a call that fails', () => {
  test('is repeated on the fallback store if that cannot change the result', async () => {
    const { chaos, store } = setUp()
    chaos.failAll()
    expect(await store.get('k')).toBeUndefined()
    await store.set('k', 'v1')
    expect(text(await store.get('k'))).toBe('v1')
    expect(await store.touch('k', 1_000)).toBe(true)
    expect(await store.delete('k')).toBe(true)
    await store.setMany([
      ['a', '1'],
      ['b', '2'],
    ])
    expect((await store.getMany(['a', 'b', 'c'])).map(text)).toEqual(['1', '2', undefined])
    expect(await store.deleteMany(['a', 'b', 'c'])).toBe(2)
  })

  test.each(['add', 'compareAndSet', 'increment'] as const)(
    '%s is not repeated, and its key is deleted from the store afterwards',
    async (operation) => {
      const { chaos, primary, store, phases } = setUp()
      chaos.loseReply(operation, { times: 1 })
      await store.set('k', '1')
      const calls = {
        add: () => store.add('new', '1'),
        compareAndSet: () => store.compareAndSet('k', '1', '2'),
        increment: () => store.increment('k', 1),
      }
      await expect(Promise.resolve(calls[operation]())).rejects.toMatchObject({
        code: 'ERR_CACHE_UNAVAILABLE',
      })
      await untilPhase(phases, 'primary')
      expect(primary.get(operation === 'add' ? 'new' : 'k')).toBeUndefined()
    },
  )

  test('is not repeated if the backend has refused it', async () => {
    const { chaos, store, phases } = setUp()
    const error = new CacheError('ERR_CACHE_REJECTED', 'out of memory', { retryable: true })
    chaos.fail('set', { error })
    await expect(Promise.resolve(store.set('k', 'v'))).rejects.toBe(error)
    expect(phases).toEqual([])
  })

  test('is repeated if the backend is read-only, also one that must not be executed twice', async () => {
    const { chaos, store } = setUp()
    const cause = new Error("READONLY You can't write against a read only replica.")
    const refusal = { retryable: true, cause }
    chaos.fail(['set', 'add', 'delete', 'deleteMany'], {
      error: new CacheError('ERR_CACHE_REJECTED', 'read-only', refusal),
    })
    await store.set('k', 'v')
    expect(await store.add('new', 'v')).toBe(true)
    expect(text(await store.get('k'))).toBe('v')
    expect(text(await store.get('new'))).toBe('v')
  })
})

describe('the return of a store', () => {
  test('deletes from it what has changed, before it is read again', async () => {
    const { chaos, primary, store, phases } = setUp()
    for (const key of ['set', 'deleted', 'same']) await store.set(key, 'old')
    chaos.failAll()
    await store.set('set', 'new')
    await store.delete('deleted')
    await store.getMany(['a', 'b'])
    await untilPhase(phases, 'fallback')
    chaos.reset()
    await untilPhase(phases, 'settling')
    await store.set('written', 'both')
    expect(text(primary.get('written'))).toBe('both')
    await untilPhase(phases, 'primary')
    const keys = ['set', 'deleted', 'same', 'written']
    expect((await store.getMany(keys)).map(text)).toEqual([undefined, undefined, 'old', 'both'])
    expect(phases.slice(-4)).toEqual(['fallback', 'settling', 'partial', 'primary'])
  })

  test('leaves nothing for the next outage, and never clears the fallback store', async () => {
    const fallbackChaos = new Chaos()
    const shared = Object.assign(withChaos<ByteStore>(new ReferenceStore(), fallbackChaos), {
      processLocal: false,
    })
    await shared.set('of others', '1')
    const { chaos, store, phases } = setUp(fast, shared)
    chaos.failAll()
    await store.set('k', 'first')
    await untilPhase(phases, 'fallback')
    chaos.reset()
    await untilPhase(phases, 'primary')
    chaos.failAll()
    expect(await store.get('k')).toBeUndefined()
    await untilPhase(phases, 'fallback')
    await store.clear()
    expect(fallbackChaos.callCount('clear')).toBe(0)
    expect(text(await shared.get('of others'))).toBe('1')
  })

  test('clears the prefixes of all caches if the journal has overflown', async () => {
    const { chaos, primary, store, phases } = setUp({ ...fast, journal: 2 })
    const [cache, other] = [new Cache(store, { prefix: 'a:' }), new Cache(store, { prefix: 'b:' })]
    primary.set('foreign', '1')
    for (const key of ['1', '2', '3']) await cache.set(key, 'old')
    await other.set('1', 'old')
    chaos.failAll()
    for (const key of ['1', '2', '3']) await cache.set(key, 'new')
    chaos.reset()
    await untilPhase(phases, 'primary')
    expect(await cache.getMany(['1', '2', '3'])).toEqual([undefined, undefined, undefined])
    expect(await other.get('1')).toBeUndefined()
    expect(text(primary.get('foreign'))).toBe('1')
  })

  test.each([
    [
      'setMany',
      (store: ByteStore) =>
        store.setMany([
          ['1', 'new'],
          ['2', 'new'],
          ['3', 'new'],
        ]),
    ],
    ['deleteMany', (store: ByteStore) => store.deleteMany(['1', '2', '3'])],
  ] as const)(
    '%s that fails once is not undone, although the journal has overflown',
    async (operation, change) => {
      const { chaos, store } = setUp({ ...fast, journal: 1 })
      for (const key of ['1', '2', '3']) await store.set(key, 'old')
      chaos.fail(operation, { times: 1 })
      await change(store)
      expect((await store.getMany(['1', '2', '3'])).map(text)).not.toContain('old')
      for (const key of ['1', '2', '3']) expect(text(await store.get(key))).not.toBe('old')
    },
  )

  test('clears a prefix that was cleared meanwhile, except its reserved keys', async () => {
    const { chaos, primary, store, phases } = setUp()
    const cache = new Cache(store, { prefix: 'a:' })
    await cache.set('k', 'old')
    primary.set('a:~lock:x', '1')
    chaos.failAll()
    await cache.get('k')
    await untilPhase(phases, 'fallback')
    await cache.clear()
    chaos.reset()
    await untilPhase(phases, 'primary')
    expect(await cache.get('k')).toBeUndefined()
    expect(text(primary.get('a:~lock:x'))).toBe('1')
  })
})

describe('the composed store', () => {
  test('has the weakest traits of both', () => {
    const limits = { keyBytes: 100, valueBytes: 10, ttlStep: 1_000, timeError: 500 }
    const weak = new ReferenceStore({ limits, scan: false })
    const store = failover([memory(), weak])
    expect(store.limits).toEqual({ keyBytes: 89, valueBytes: 10, ttlStep: 1_000, timeError: 500 })
    expect(store.scan).toBeUndefined()
    expect(store.processLocal).toBe(false)
    expect(failover([memory(), memory()]).processLocal).toBe(true)
    expect(store.durable).toBeUndefined()
    expect(store.time).toBeUndefined()
  })

  test('keeps its primary store when it is wrapped', () => {
    const primary: ByteStore = memory()
    const store = failover([primary, memory()])
    expect(store.primary).toBe(primary)
    // Wrapped as well: its calls need the timeout too.
    expect(withTimeout(store, '1s').primary?.name).toBe(primary.name)
    expect(failover([primary]).primary).toBe(primary)
  })

  test('continues the time of its primary store during an outage', async () => {
    const chaos = new Chaos()
    const offset = 3_600_000
    const withClock = Object.assign(new ReferenceStore(), { time: async () => Date.now() + offset })
    const store = failover([withChaos<ByteStore>(withClock, chaos), memory()], fast)
    cleanups.push(() => store.close())
    await store.time?.()
    chaos.failAll()
    const earliest = Date.now() + offset
    const time = await store.time?.()
    // By how much the two clocks of a process may differ.
    expect(time).toBeGreaterThan(earliest - 1_000)
    expect(time).toBeLessThan(Date.now() + offset + 1_000)
  })

  test('uses a third store if the second one fails as well', async () => {
    const chaos = new Chaos()
    const second = Object.assign(withChaos<ByteStore>(memory(), chaos), { processLocal: false })
    const { chaos: first, store, phases } = setUp(fast, failover([second, memory()], fast))
    first.failAll()
    chaos.failAll()
    await store.set('k', 'v')
    expect(text(await store.get('k'))).toBe('v')
    await expect.poll(() => phases.filter((phase) => phase === 'fallback').length).toBe(2)
    expect(text(await store.get('k'))).toBe('v')
  })

  test('checks its options', () => {
    const stores = [memory(), memory()] as const
    expect(() => failover(stores, { settel: 1 } as FailoverOptions)).toThrow('Did you mean settle')
    const breaker = { prob: 1 } as BreakerOptions
    expect(() => failover(stores, { breaker })).toThrow('Did you mean probe')
    for (const failures of [0, 1.1, Number.NaN])
      expect(() => failover(stores, { breaker: { failures } })).toThrow('failures must be')
    for (const failures of [0.1, 1])
      expect(failover(stores, { breaker: { failures } }).primary).toBe(stores[0])
    const byReference = memory({ values: 'shared' }) as unknown as ByteStore
    expect(() => failover([byReference])).toThrow('stores entries by reference')
    for (const mistake of [memory(), [memory], [memory(), undefined], undefined])
      expect(() => failover(mistake as never)).toThrow('must be an array of stores')
  })
})
