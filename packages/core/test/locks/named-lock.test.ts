import { Cache, CacheError, channels, type Lock, type LockEvent } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { gate, settle } from '../remember/two-processes.ts'

const lockKey = '~lock:report'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

function setUp() {
  const operations: string[] = []
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const ttls: unknown[] = []
  let isDown = false
  const store = wrapStore<ByteStore>(backend, (operation, call, args) => {
    operations.push(operation)
    if (isDown) {
      const facts = { operation: 'get', store: 'reference' } as const
      throw new CacheError('ERR_CACHE_UNAVAILABLE', 'down', facts)
    }
    if (operation === 'get') expect(args[1]).toEqual({ consistency: 'strong' })
    if (operation === 'add') ttls.push(args[2])
    if (operation === 'compareAndSet' && args[2] !== undefined) ttls.push(args[3])
    return call()
  })
  const cache = new Cache(store, { clock })
  const setDown = (value: boolean) => {
    isDown = value
  }
  return { cache, backend, clock, ttls, operations, setDown }
}

async function eventsOf(run: () => Promise<unknown>): Promise<LockEvent[]> {
  const events: LockEvent[] = []
  const collect = (event: unknown) => events.push(event as LockEvent)
  channels.lock.subscribe(collect)
  await run().finally(() => channels.lock.unsubscribe(collect))
  return events
}

test('a lock belongs to its owner only', async () => {
  const { cache } = setUp()
  const lock = cache.lock('report')
  expect([await lock.isLocked(), await lock.isOwned()]).toEqual([false, false])
  await lock.acquire()
  const other = cache.lock('report')
  expect([await lock.isLocked(), await lock.isOwned()]).toEqual([true, true])
  expect([await other.isLocked(), await other.isOwned()]).toEqual([true, false])
  expect([await other.acquire(), await other.refresh(), await other.release()]).toEqual([
    false,
    false,
    false,
  ])
  expect(await lock.isOwned()).toBe(true)
  expect(await lock.release()).toBe(true)
  expect([await lock.isLocked(), await lock.release()]).toEqual([false, false])
})

test('another object of the same owner refreshes and releases the lock', async () => {
  const { cache, ttls } = setUp()
  await cache.lock('report', { owner: 'job:7', ttl: '40s' }).acquire()
  const restored = cache.lock('report', { owner: 'job:7', ttl: '1h' })
  expect(await restored.isOwned()).toBe(true)
  expect(await restored.refresh()).toBe(true)
  expect(await restored.release()).toBe(true)
  expect(ttls).toEqual([40_000, 40_000])
  expect(await restored.isLocked()).toBe(false)
  await cache.lock('report', { owner: 'job:7' }).acquire()
  expect(await restored.release()).toBe(true)
})

test('refresh extends the lock by its ttl, or by another one', async () => {
  const { cache, clock, ttls } = setUp()
  const lock = cache.lock('report')
  await lock.acquire()
  expect(await lock.refresh()).toBe(true)
  expect(await lock.refresh('1h')).toBe(true)
  expect(ttls).toEqual([30_000, 30_000, 3_600_000])
  await clock.advance(3_599_999)
  expect(await lock.isOwned()).toBe(true)
  await clock.advance(1)
  expect([await lock.isOwned(), await lock.refresh()]).toEqual([false, false])
  await expect(lock.refresh(-1)).rejects.toThrow('lock: ttl must be')
})

test('an owner who acquires the lock again does not have it twice', async () => {
  const { cache } = setUp()
  const lock = cache.lock('report', { owner: 'job:7' })
  expect([await lock.acquire(), await lock.acquire()]).toEqual([true, false])
  expect([await lock.release(), await lock.isLocked()]).toEqual([true, false])
})

test('a foreign value of the lock is not of any owner, and holds it', async () => {
  const { cache, backend } = setUp()
  await backend.set(lockKey, 'foreign')
  const lock = cache.lock('report')
  expect([await lock.acquire(), await lock.isLocked(), await lock.isOwned()]).toEqual([
    false,
    true,
    false,
  ])
  expect([await lock.refresh(), await lock.release()]).toEqual([false, false])
})

test('an owner may contain any characters', async () => {
  const { cache } = setUp()
  const owner = 'a.b\nc:1.2'
  await cache.lock('report', { owner }).acquire()
  expect(await cache.lock('report', { owner }).isOwned()).toBe(true)
  expect(await cache.lock('report', { owner: 'b\nc:1.2' }).isOwned()).toBe(false)
})

test('events say for how long a lock was held, and that a call was refused', async () => {
  const { cache } = setUp()
  const lock = cache.lock('report')
  const events = await eventsOf(async () => {
    vi.advanceTimersByTime(1_000)
    await lock.acquire()
    await cache.lock('report').acquire()
    await cache
      .lock('report')
      .block(0)
      .catch(() => {})
    vi.advanceTimersByTime(5_000)
    await cache.lock('report').release()
    await lock.release()
  })
  const facts = events.map(({ outcome, durationMs }) => [outcome, durationMs])
  expect(facts).toEqual([
    ['acquired', 0],
    ['refused', 0],
    ['refused', 0],
    ['released', 5_000],
  ])
})

test('await using releases a lock that is held, and only that', async () => {
  const { cache } = setUp()
  const lock = cache.lock('report', { owner: 'job:7' })
  await lock.acquire()
  await cache.lock('report', { owner: 'job:7' })[Symbol.asyncDispose]()
  expect(await lock.isLocked()).toBe(true)
  await lock[Symbol.asyncDispose]()
  expect(await lock.isLocked()).toBe(false)
  expect(await cache.lock('report', { owner: 'job:7' }).acquire()).toBe(true)
  await lock[Symbol.asyncDispose]()
  expect(await lock.isLocked()).toBe(true)
})

test.each([
  ['a run', (lock: Lock) => lock.run(() => {})],
  ['a release', (lock: Lock) => lock.acquire().then(() => lock.release())],
])('after %s, a lock that its owner has acquired elsewhere can be released', async (_, hold) => {
  const { cache } = setUp()
  const lock = cache.lock('report', { owner: 'job:7' })
  await hold(lock)
  await cache.lock('report', { owner: 'job:7' }).acquire()
  expect(await lock.release()).toBe(true)
})

test('a late reply to a release does not end the next tenure', async () => {
  const reply = gate()
  const store = wrapStore<ByteStore>(referenceStore(), async (operation, call) => {
    const result = await call()
    if (operation === 'compareAndSet') await reply.opened
    return result
  })
  const lock = new Cache(store).lock('report')
  await lock.acquire()
  const releasing = lock.release()
  await settle()
  expect(await lock.acquire()).toBe(true)
  reply.open()
  expect(await releasing).toBe(true)
  await lock[Symbol.asyncDispose]()
  expect(await lock.isLocked()).toBe(false)
})

test('within a run, the lock object extends the lock in one call of the store', async () => {
  const { cache, operations } = setUp()
  const lock = cache.lock('report')
  await lock.run(async () => {
    await Promise.resolve()
    expect(await lock.refresh()).toBe(true)
    expect(operations).toEqual(['add', 'compareAndSet'])
  })
})

test('the release of a lock that was lost is not published', async () => {
  const { cache, backend } = setUp()
  const lock = cache.lock('report')
  await lock.acquire()
  await backend.delete(lockKey)
  const events = await eventsOf(async () => expect(await lock.release()).toBe(false))
  expect(events).toEqual([])
})

test('a run leaves nothing for await using to release', async () => {
  const { cache } = setUp()
  const lock = cache.lock('report', { owner: 'job:7' })
  await lock.run(() => {})
  await cache.lock('report', { owner: 'job:7' }).acquire()
  await lock[Symbol.asyncDispose]()
  expect(await lock.isLocked()).toBe(true)
})

test('a failure of the store is published, by each method', async () => {
  const { cache, setDown } = setUp()
  const published = vi.fn()
  channels.error.subscribe(published)
  const lock = cache.lock('report')
  await lock.acquire()
  setDown(true)
  const other = cache.lock('report')
  const calls = {
    acquire: () => other.acquire(),
    block: () => other.block(0),
    isLocked: () => other.isLocked(),
    isOwned: () => other.isOwned(),
    'refresh of another object': () => other.refresh(),
    'release of another object': () => other.release(),
    refresh: () => lock.refresh(),
    release: () => lock.release(),
  }
  for (const [name, call] of Object.entries(calls)) {
    published.mockClear()
    await expect(call()).rejects.toThrow('down')
    const keys = published.mock.calls.map(([event]) => (event as LockEvent).key)
    expect(keys, name).toEqual([lockKey])
  }
  channels.error.unsubscribe(published)
  setDown(false)
  // The outcome of the release was not known: it is repeated.
  expect(await lock.release()).toBe(true)
})

test('a lock has a ttl of 30 seconds, and needs a function to run', async () => {
  const { cache, ttls } = setUp()
  await cache.lock('report').acquire()
  expect(ttls).toEqual([30_000])
  expect(() => cache.lock('x', { owner: 7 as never })).toThrow('must be a non-empty string')
  const run = cache.lock('other').run(undefined as never)
  await expect(run).rejects.toThrow("lock.run(async (held) => …, { wait: '5s' })")
  expect(ttls).toHaveLength(1)
})

test('another process finds the lock of its owner over a network', async () => {
  const store = referenceStore({ async: true })
  const [first, second] = [new Cache(store), new Cache(store)]
  await first.lock('report', { owner: 'job:7', ttl: '1h' }).acquire()
  const found = second.lock('report', { owner: 'job:7', ttl: '1h' })
  expect(await found.isOwned()).toBe(true)
  expect(await second.lock('report', { owner: 'job:8', ttl: '1h' }).isOwned()).toBe(false)
  expect(await found.release()).toBe(true)
})
