import { Cache } from '@stowage/core'
import { ManualClock, ReferenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { world } from './near-world.ts'
import { TestBus } from './test-bus.ts'

describe('expiry', () => {
  test('serves an entry for near.ttl at most', async () => {
    const { cache, clock, calls } = await world({ ttl: '5s' })
    await cache.set('k', 1)
    await cache.get('k')
    calls.length = 0
    await clock.advance(4_999)
    await cache.get('k')
    expect(calls).toEqual([])
    await clock.advance(1)
    await cache.get('k')
    expect(calls).toEqual(['getWithTtl'])
  })

  test.each([undefined, Infinity])(
    'ends with the entry in the store, near.ttl: %s',
    async (ttl) => {
      const { cache, clock } = await world({ ttl })
      await cache.set('k', 1, { ttl: 1_000 })
      await clock.advance(600)
      await cache.get('k')
      await clock.advance(399)
      expect(await cache.get('k')).toBe(1)
      await clock.advance(1)
      expect(await cache.get('k')).toBeUndefined()
    },
  )

  test('uses a ttl of 1 s without a bus, and of 1 m with one', async () => {
    const clock = new ManualClock()
    for (const [bus, ms] of [
      [undefined, 1_000],
      [new TestBus(), 60_000],
    ] as const) {
      const store = new ReferenceStore({ clock })
      const cache = new Cache(store, { clock, near: { bus } })
      await cache.get('subscribes')
      await cache.set('k', 1)
      await cache.get('k')
      store.set('k', '2')
      await clock.advance(ms - 1)
      expect(await cache.get('k')).toBe(1)
      await clock.advance(1)
      expect(await cache.get('k')).toBe(2)
    }
  })

  test('does not serve a stale entry that another process may have refreshed', async () => {
    const { cache, clock, store } = await world()
    const options = { ttl: 1_000, staleWhileRevalidate: 5_000 } as const
    await cache.remember('k', options, () => 'old')
    await cache.get('k')
    await clock.advance(1_000)
    const other = new Cache(store, { prefix: 'app:', clock })
    await other.remember('k', options, () => 'stale')
    await expect.poll(() => other.get('k')).toBe('stale')
    expect(await cache.remember('k', options, () => 'loaded again')).toBe('stale')
  })
})
