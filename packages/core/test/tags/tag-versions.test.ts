import { Cache } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { ManualClock, referenceStore } from '@stowage/testing'
import { afterEach, expect, test, vi } from 'vitest'
import { settle } from '../remember/two-processes.ts'

const tagKey = '~tag:news'
const dayMs = 86_400_000

afterEach(() => {
  vi.useRealTimers()
})

/** A cache whose default reads are those of a replica, which has not received anything yet. */
function setUp({ time }: { time?: (clock: ManualClock) => Promise<number> } = {}) {
  const clock = new ManualClock()
  const backend = referenceStore({ clock })
  const calls: { readonly operation: string; readonly key: unknown }[] = []
  let isBehind = false
  const store = wrapStore<ByteStore>(backend, (operation, call, args) => {
    if (args[0] === tagKey) calls.push({ operation, key: args[0] })
    const isStrong = (args[1] as { consistency?: string } | undefined)?.consistency === 'strong'
    if (operation === 'get' && args[0] === tagKey && isBehind && !isStrong)
      return undefined as never
    return call()
  })
  if (time !== undefined) store.time = () => time(clock)
  const cache = new Cache(store, { clock })
  const operations = () => calls.splice(0).map(({ operation }) => operation)
  const lag = () => {
    isBehind = true
  }
  const version = async () => String(await backend.get(tagKey))
  return { clock, backend, cache, operations, lag, version }
}

/** The times of both parts of a version: since when entries with the tag are invalid, and stale. */
function timesOf(version: string): number[] {
  return version.split('.').map((id) => Number.parseInt(id, 36))
}

test('an invalidation takes a read and a swap, although replicas lag behind', async () => {
  const { cache, operations, lag } = setUp()
  await cache.set('k', 'v', { tags: ['news'] })
  lag()
  for (const stale of [false, true]) {
    operations()
    await cache.invalidateTags('news', { stale })
    expect(operations()).toEqual(['get', 'compareAndSet'])
  }
})

test('a write records the versions of the primary, although replicas lag behind', async () => {
  const { cache, operations, lag, version } = setUp()
  await cache.invalidateTags('news')
  const before = await version()
  lag()
  operations()
  await cache.set('k', 'v', { tags: ['news'] })
  expect(operations()).toEqual(['get', 'touch'])
  expect(await version()).toBe(before)
})

test('an invalidation counts as late as the clock of the backend may show', async () => {
  const { clock, cache, version } = setUp({
    time: async (clock) => {
      const now = clock.now()
      await clock.advance(40)
      return now
    },
  })
  const startedAt = clock.now()
  await cache.invalidateTags('news')
  expect(timesOf(await version())).toEqual([startedAt + 40, startedAt + 40])
})

test('the time of a version never goes back', async () => {
  let now = 1_900_000_000_000
  const { cache, version } = setUp({ time: async () => now })
  await cache.invalidateTags('news')
  now -= 5_000
  await cache.invalidateTags('news')
  expect(timesOf(await version())).toEqual([now + 5_000, now + 5_000])
  await cache.invalidateTags('news', { stale: true })
  expect(timesOf(await version())).toEqual([now + 5_000, now + 5_000])
})

test('entries that are stale were stale since their tag was made so, and are not again by that time', async () => {
  const { clock, cache, version } = setUp()
  await cache.set('k', 'v', { tags: ['news'] })
  expect(timesOf(await version())).toEqual([0, 0])
  await clock.advance(1_000)
  await cache.invalidateTags('news', { stale: true })
  expect(timesOf(await version())).toEqual([0, clock.now()])
})

test('a foreign value of a tag makes its entries misses, until the tag is invalidated', async () => {
  const { backend, cache, operations, version } = setUp()
  await backend.set(tagKey, 'foreign')
  await cache.set('k', 'v', { tags: ['news'] })
  expect(await cache.get('k')).toBeUndefined()
  expect(await version()).toBe('foreign')
  operations()
  await cache.invalidateTags('news')
  expect(operations()).toEqual(['get', 'compareAndSet'])
  await cache.set('k', 'v', { tags: ['news'] })
  expect(await cache.get('k')).toBe('v')
})

test('an invalidation succeeds although others replace the version all the time', async () => {
  const { backend, clock } = setUp()
  const sets: unknown[] = []
  const store = wrapStore<ByteStore>(backend, (operation, call, args) => {
    if (operation === 'set') sets.push(args[2])
    if (operation === 'compareAndSet' || operation === 'add') return false as never
    return call()
  })
  await new Cache(store, { clock }).invalidateTags('news')
  expect(sets).toEqual([30 * dayMs])
  expect(timesOf(String(await backend.get(tagKey)))).toEqual([clock.now(), clock.now()])
})

test('the ttl of a version that is used is extended once a day', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const { clock, cache, operations } = setUp()
  const pass = async (ms: number) => {
    vi.advanceTimersByTime(ms)
    await clock.advance(ms)
  }
  const use = async () => {
    operations()
    await cache.set('k', 'v', { tags: ['news'], ttl: '90d' })
    await settle()
    return operations()
  }
  expect(await use()).toEqual(['get', 'add'])
  await pass(1_000)
  expect(await use()).toEqual(['get', 'touch'])
  await pass(dayMs - 1)
  expect(await use()).toEqual(['get'])
  await pass(1)
  expect(await use()).toEqual(['get', 'touch'])
  await pass(30 * dayMs - 1)
  expect(await cache.get('k')).toBe('v')
  await pass(1)
  expect(await cache.get('k')).toBeUndefined()
})

test('a version whose ttl cannot be extended does not make a write fail', async () => {
  const { backend, clock } = setUp()
  await new Cache(backend, { clock }).invalidateTags('news')
  const store = wrapStore<ByteStore>(backend, (operation, call) => {
    if (operation === 'touch') throw new Error('down')
    return call()
  })
  const cache = new Cache(store, { clock })
  await cache.set('k', 'v', { tags: ['news'] })
  await settle()
  expect(await cache.get('k')).toBe('v')
})
