import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { channels } from '@stowage/core'
import { referenceStore } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import { NearCache, type NearCacheConfig, ReadsInFlight } from '../../src/near/near-cache.ts'
import type { CacheStore } from '../../src/store.ts'
import { DecodedItem } from '../../src/values/stored-entries.ts'
import { gate } from '../remember/two-processes.ts'
import { TestBus } from './test-bus.ts'

const ttlMs = 60_000

/** Near caches on a clock that a test sets. */
function setUp(options: Partial<NearCacheConfig> = {}) {
  const state = { now: 0 }
  const cleared: string[] = []
  const store = referenceStore() as unknown as CacheStore
  const clock = { now: () => state.now, monotonic: () => state.now, sleep: async () => {} }
  const create = () =>
    new NearCache({
      ...{ ttlMs, maxEntries: 10, maxBytes: 100, bus: undefined, ownsBus: false, values: 'frozen' },
      ...{ store, cache: 'name', clock, onClear: (prefix) => cleared.push(prefix) },
      ...options,
    })
  const near = create()
  const keep = (
    key: string,
    { size = 1, ttl = undefined as number | undefined, to = near } = {},
  ) => {
    const read = to.beginRead(key)
    if (read === undefined) throw new Error('Nothing is kept.')
    to.endRead(read, new DecodedItem('v', size, undefined), to.endOfTtl(), ttl)
  }
  const has = (...keys: string[]) => keys.map((key) => near.find(key) !== undefined)
  return { near, create, keep, has, state, cleared, store }
}

/** With a bus that it has subscribed to. */
async function setUpWithBus(options: Partial<NearCacheConfig> = {}) {
  const bus = new TestBus()
  const all = setUp({ bus, ...options })
  all.near.beginRead('k')
  await new Promise(setImmediate)
  all.cleared.length = 0
  return { ...all, bus }
}

async function errorsOf(work: () => unknown): Promise<unknown[]> {
  const errors: unknown[] = []
  const listener = (event: unknown) => errors.push(event)
  channels.error.subscribe(listener)
  await work()
  await new Promise(setImmediate)
  channels.error.unsubscribe(listener)
  return errors
}

test('counts its hits and misses, and what was dropped', () => {
  const { near, keep, has } = setUp()
  expect([near.values, near.hasBus, near.bus]).toEqual(['frozen', false, undefined])
  keep('a', { size: 5 })
  keep('bc', { size: 7 })
  expect(has('a', 'x', 'bc')).toEqual([true, false, true])
  const counts = { hits: 2, misses: 1, serving: true }
  expect(near.stats).toEqual({ entries: 2, bytes: 6 + 9, invalidations: 0, ...counts })
  near.drop(['a', 'x'])
  expect(near.stats).toEqual({ entries: 1, bytes: 9, invalidations: 1, ...counts })
})

describe('a read', () => {
  test.each([
    ['that returns nothing', () => undefined],
    ['of a value that is larger than maxBytes', () => new DecodedItem('v', 100, undefined)],
  ])('%s is not kept', (_, item) => {
    const { near } = setUp()
    const read = near.beginRead('k') as never
    near.endRead(read, item(), near.endOfTtl(), undefined)
    expect(near.stats.entries).toBe(0)
  })

  test('is forgotten when it has ended', () => {
    const { near } = setUp()
    const read = near.beginRead('k')
    expect(near.beginRead('k')).toBe(read)
    for (let end = 0; end < 2; end++) near.endRead(read as never, undefined, 0, undefined)
    expect(near.beginRead('k')).not.toBe(read)
  })

  test('of a value as large as maxBytes is kept, with its key', () => {
    const { near, keep } = setUp()
    keep('k', { size: 99 })
    expect(near.stats.bytes).toBe(100)
  })

  test.each([
    [undefined, ttlMs],
    [1_000, 1_000],
    [2 * ttlMs, ttlMs],
  ])('is kept until the end of its ttl: %s', (ttl, end) => {
    const { keep, has, state } = setUp()
    state.now = 5_000
    keep('k', { ttl })
    state.now += end - 1
    expect(has('k')).toEqual([true])
    state.now += 1
    expect(has('k')).toEqual([false])
  })

  test('is not served longer because another one has read the clock before', () => {
    const { keep, has, state } = setUp()
    keep('k')
    expect(has('k')).toEqual([true])
    state.now = ttlMs + 1
    expect(has('k')).toEqual([false])
  })

  test('is outdated by a change of its key, its prefix, or everything', () => {
    for (const change of [
      (near: NearCache) => near.drop(['a:k']),
      (near: NearCache) => near.dropPrefix('a:'),
      (near: NearCache) => near.dropPrefix(''),
      (near: NearCache) => near.stop(),
    ]) {
      const { near } = setUp()
      const read = near.beginRead('a:k') as never
      change(near)
      near.endRead(read, new DecodedItem('v', 1, undefined), near.endOfTtl(), undefined)
      expect(near.stats.entries).toBe(0)
    }
  })
})

describe('near caches over one store', () => {
  test('drop what one of them changes', () => {
    const { near, create, keep, has } = setUp()
    const sibling = create()
    for (const to of [near, sibling]) for (const key of ['a:1', 'a:2', 'b']) keep(key, { to })
    sibling.drop(['a:1'])
    expect(has('a:1', 'a:2', 'b')).toEqual([false, true, true])
    near.dropPrefix('a:')
    expect([sibling.stats.entries, sibling.stats.invalidations]).toEqual([1, 2])
    near.dropPrefix('')
    expect([sibling.stats.entries, sibling.stats.invalidations]).toEqual([0, 3])
    expect(near.stats.invalidations).toBe(3)
  })

  test('drop what was settled after an outage', () => {
    const { near, keep, has } = setUp()
    for (const key of ['a', 'b']) keep(key)
    near.onSettled(['a'])
    expect(has('a', 'b')).toEqual([false, true])
    near.onSettled(undefined)
    expect(has('b')).toEqual([false])
  })

  test('drop everything then, if keys contain the ids of generations', () => {
    const { near, keep, store } = setUp()
    keep('b')
    delete (store as { scan?: unknown }).scan
    near.onSettled(['a'])
    expect(near.stats.entries).toBe(0)
  })
})

describe('changes', () => {
  test('are announced, and those of a prefix by a name', async () => {
    const { near, bus, keep, has } = await setUpWithBus()
    expect([near.hasBus, near.bus]).toEqual([true, bus])
    for (const key of ['a:k', 'b']) keep(key)
    const publish = vi.spyOn(bus, 'publish')
    near.announce([])
    expect(publish).not.toHaveBeenCalled()
    const errors = await errorsOf(() => near.announce(['a', 'b']))
    expect(errors).toEqual([])
    near.endClear('a:')
    expect(bus.published).toEqual(['a', 'b', 'a:~generation'])
    expect(has('a:k', 'b')).toEqual([false, true])
    setUp().near.announce(['a'])
  })

  test.each([
    [
      'at once',
      () => {
        throw new Error('disconnected')
      },
    ],
    ['later', () => Promise.reject(new Error('disconnected'))],
  ])('that cannot be announced are reported: %s', async (_, publish) => {
    const { near, bus } = await setUpWithBus()
    Object.assign(bus, { publish })
    const errors = await errorsOf(() => near.announce(['a', 'b']))
    const error = expect.objectContaining({ message: 'disconnected' })
    expect(errors).toEqual([expect.objectContaining({ cache: 'name', key: 'a', error })])
  })

  test('of other processes drop entries, and clears are passed on', async () => {
    const { bus, keep, has, cleared, near } = await setUpWithBus()
    for (const key of ['a:1', 'a:2', 'b']) keep(key)
    bus.deliver(['b', 'x'])
    expect([has('a:1', 'b'), cleared]).toEqual([[true, false], []])
    bus.deliver(['a:~generation'])
    expect([has('a:1', 'a:2'), cleared]).toEqual([[false, false], ['a:']])
    expect(near.stats.invalidations).toBe(3)
    keep('c')
    const events: unknown[] = []
    const listener = (event: unknown) => events.push(event)
    channels.near.subscribe(listener)
    bus.deliver(undefined)
    channels.near.unsubscribe(listener)
    expect([has('c'), cleared]).toEqual([[false], ['a:', '']])
    expect(events).toEqual([expect.objectContaining({ cache: 'name', entries: 1 })])
  })
})

describe('the subscription', () => {
  test('begins with the first read, once, and all may have been cleared before it', async () => {
    const bus = new TestBus()
    const { near, cleared } = setUp({ bus })
    expect([near.stats.serving, near.find('k')]).toEqual([false, undefined])
    expect(bus.subscriptions).toBe(0)
    expect([near.beginRead('k'), near.beginRead('k')]).toEqual([undefined, undefined])
    await new Promise(setImmediate)
    expect([bus.subscriptions, cleared, near.stats.serving]).toEqual([1, [''], true])
    expect(near.beginRead('k')).toBeDefined()
    bus.connected = false
    expect([near.beginRead('k'), near.stats.serving]).toEqual([undefined, false])
    await new Promise(setImmediate)
    expect(bus.subscriptions).toBe(1)
  })

  const refuse = () => {
    throw new Error('refused')
  }

  test.each<[string, () => Promise<never>]>([
    ['rejects', async () => refuse()],
    ['throws', refuse],
  ])('that %s is reported, and tried again after a second', async (_, fail) => {
    const bus = new TestBus()
    const subscribe = vi.spyOn(bus, 'subscribe').mockImplementationOnce(fail)
    const { near } = setUp({ bus })
    const now = vi.spyOn(performance, 'now').mockReturnValue(500)
    try {
      const errors = await errorsOf(() => near.beginRead('k'))
      expect(errors).toMatchObject([{ key: '', error: { message: 'refused' } }])
      now.mockReturnValue(1_499)
      near.beginRead('k')
      expect(subscribe).toHaveBeenCalledTimes(1)
      now.mockReturnValue(1_500)
      near.beginRead('k')
      expect(subscribe).toHaveBeenCalledTimes(2)
    } finally {
      now.mockRestore()
    }
    await new Promise(setImmediate)
    expect(near.stats.serving).toBe(true)
  })

  test('that resolves to no function is reported, and not repeated by each read', async () => {
    const bus = new TestBus()
    const subscribe = vi.spyOn(bus, 'subscribe').mockImplementation(async () => undefined as never)
    const { near } = setUp({ bus })
    const errors = await errorsOf(async () => {
      for (let read = 0; read < 3; read++) {
        near.beginRead('k')
        await new Promise(setImmediate)
      }
    })
    expect(subscribe).toHaveBeenCalledTimes(1)
    expect(errors).toMatchObject([{ error: { message: expect.stringContaining('unsubscribe =') } }])
  })

  test('ends with the near cache, also if it began before and was not confirmed', async () => {
    const bus = new TestBus()
    const unsubscribed: string[] = []
    const confirmed = gate()
    vi.spyOn(bus, 'subscribe').mockImplementation(async () => {
      await confirmed.opened
      return () => unsubscribed.push('late')
    })
    const { near, cleared } = setUp({ bus })
    near.beginRead('k')
    near.stop()
    confirmed.open()
    await new Promise(setImmediate)
    expect([unsubscribed, cleared, near.stats.serving]).toEqual([['late'], [], false])
    near.beginRead('k')
    expect(bus.subscribe).toHaveBeenCalledTimes(1)
  })
})

describe('stop', () => {
  test('drops everything, and ends the subscription', async () => {
    const { near, bus, keep, cleared } = await setUpWithBus()
    keep('k')
    near.stop()
    expect(near.stats).toMatchObject({ entries: 0, serving: false })
    expect(near.beginRead('k')).toBeUndefined()
    bus.deliver(['a:~generation'])
    expect(cleared).toEqual([])
    await new Promise(setImmediate)
    expect(bus.subscriptions).toBe(1)
  })

  test('ends a near cache without a bus', () => {
    const { near, keep } = setUp()
    keep('k')
    near.stop()
    expect(near.stats).toMatchObject({ entries: 0, serving: false })
    expect([near.beginRead('k'), near.find('k')]).toEqual([undefined, undefined])
  })

  test('lets the others over the store forget it', async () => {
    const { create, near } = setUp()
    const stopped = () => {
      const other = create()
      other.stop()
      return new WeakRef(other)
    }
    const reference = stopped()
    setFlagsFromString('--expose-gc')
    const collectGarbage = runInNewContext('gc') as () => void
    // An object that the poll returned would be kept by its error.
    await expect
      .poll(() => {
        collectGarbage()
        return reference.deref() === undefined
      })
      .toBe(true)
    expect(near.stats.serving).toBe(true)
  })

  test.each([true, false])('closes its own bus: %s', async (ownsBus) => {
    const { near, bus } = await setUpWithBus({ ownsBus })
    const close = vi.spyOn(bus, 'close').mockRejectedValue(new Error('not closed'))
    expect(near.stats.serving).toBe(true)
    if (ownsBus) await expect(near.close()).rejects.toThrow('not closed')
    else await near.close()
    expect(close).toHaveBeenCalledTimes(ownsBus ? 1 : 0)
    expect(near.stats.serving).toBe(false)
  })
})

describe('reads in flight', () => {
  test('of one key are shared until all have ended', () => {
    const reads = new ReadsInFlight()
    const read = reads.begin('k')
    expect(read).toEqual({ key: 'k', isOutdated: false, reads: 1 })
    expect(reads.begin('k')).toBe(read)
    expect(reads.begin('other')).not.toBe(read)
    reads.end(read)
    expect(reads.begin('k')).toBe(read)
    reads.end(read)
    reads.end(read)
    expect(reads.begin('k')).not.toBe(read)
  })

  test('are outdated by an invalidation, but not the later ones', () => {
    const reads = new ReadsInFlight()
    reads.invalidate('k')
    const older = reads.begin('k')
    reads.invalidate('k')
    const newer = reads.begin('k')
    reads.end(older)
    expect([older.isOutdated, newer.isOutdated]).toEqual([true, false])
    const other = reads.begin('other')
    reads.invalidateAll('k')
    expect([newer.isOutdated, other.isOutdated]).toEqual([true, false])
  })
})
