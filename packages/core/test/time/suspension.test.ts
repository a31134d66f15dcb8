import { Cache, type CacheStore, type Clock } from '@stowage/core'
import { getShared } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { afterEach, expect, test, vi } from 'vitest'

afterEach(() => void vi.restoreAllMocks())

const hour = 3_600_000
const realNow = Date.now.bind(Date)

/** A backend of other processes, with a clock of its own, and the clock of this process. */
function setUp() {
  const clocks = { systemMs: 0, backendMs: 0 }
  const backendClock: Clock = { now: () => realNow() + clocks.backendMs, sleep: async () => {} }
  const backend = memory({ clock: backendClock })
  let reads = 0
  let isDown = false
  const time = async () => {
    reads++
    if (isDown) throw new Error('unreachable')
    return realNow() + clocks.backendMs
  }
  const store = new Proxy(backend, {
    get(target, name) {
      if (name === 'processLocal') return false
      if (name === 'time') return time
      const value = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  }) as CacheStore
  vi.spyOn(Date, 'now').mockImplementation(() => realNow() + clocks.systemMs)
  return {
    store,
    reads: () => reads,
    /** The machine of this process is suspended: its monotonic clock stands still. */
    suspend: (ms: number) => {
      clocks.systemMs += ms
      clocks.backendMs += ms
    },
    setSystemClock: (ms: number) => {
      clocks.systemMs += ms
    },
    setDown: (down: boolean) => {
      isDown = down
    },
  }
}

const options = { ttl: '1m', staleWhileRevalidate: '1d' } as const

test('values that ended during a suspension are not returned as fresh', async () => {
  const { store, suspend } = setUp()
  const cache = new Cache(store, { prefix: 'p:' })
  await cache.remember('k', options, () => 'old')
  expect(await cache.get('k')).toBe('old')
  suspend(hour)
  expect(await cache.get('k')).toBeUndefined()
  expect(await cache.getMany(['k'])).toEqual([undefined])
  expect(getShared(cache, 'k')).not.toBe('old')
})

test('the clock of the backend is read once after a suspension', async () => {
  const { store, suspend, reads } = setUp()
  const cache = new Cache(store, { prefix: 'p:' })
  await cache.remember('k', { ttl: '2h', staleWhileRevalidate: '1d' }, () => 'v')
  suspend(hour)
  const before = reads()
  for (let read = 0; read < 5; read++) expect(await cache.get('k')).toBe('v')
  expect(reads()).toBe(before + 1)
})

test('a system clock that is set does not end a value', async () => {
  const { store, setSystemClock } = setUp()
  const cache = new Cache(store, { prefix: 'p:' })
  await cache.remember('k', options, () => 'v')
  for (const step of [hour, -2 * hour]) {
    setSystemClock(step)
    expect(await cache.get('k')).toBe('v')
  }
})

test('while the backend is unreachable after a suspension, the clock of the process decides', async () => {
  const { store, suspend, setDown } = setUp()
  const cache = new Cache(store, { prefix: 'p:' })
  await cache.remember('k', options, () => 'old')
  expect(await cache.get('k')).toBe('old')
  suspend(hour)
  setDown(true)
  expect(await cache.get('k')).toBeUndefined()
})

test('an entry of a near cache ends during a suspension', async () => {
  const { store, suspend, setSystemClock } = setUp()
  const bus = {
    connected: true,
    publish() {},
    subscribe: async () => () => {},
    close: async () => {},
  }
  const cache = new Cache(store, { prefix: 'p:', near: { ttl: '5m', bus } })
  await cache.set('k', 'v', { ttl: '1m' })
  await cache.get('k')
  await new Promise((resolve) => setTimeout(resolve, 5))
  await cache.get('k')
  expect(cache.near?.stats.entries).toBe(1)
  setSystemClock(-hour)
  expect(await cache.get('k')).toBe('v')
  // The time of an entry is cached for a turn of the event loop.
  await new Promise((resolve) => setTimeout(resolve, 5))
  suspend(hour)
  expect(await cache.get('k')).toBeUndefined()
})
