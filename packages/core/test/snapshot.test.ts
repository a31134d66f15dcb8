import { Cache, type CacheStore } from '@stowage/core'
import { wrapStore } from '@stowage/core/driver'
import { expectMissing } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { describe, expect, test } from 'vitest'

describe.each(['bytes', 'shared'] as const)('snapshot, values: %s', (values) => {
  test('swap returns a snapshot of the new value, which is replaced without another read', async () => {
    const calls: string[] = []
    const store: CacheStore = wrapStore(memory({ values }), (operation, call) => {
      calls.push(operation)
      return call()
    })
    const cache = new Cache(store)
    await cache.set('k', 1)
    calls.length = 0
    const second = await (await cache.snapshot<number>('k')).swap(2)
    expect(second?.value).toBe(2)
    expect((await second?.swap(3))?.value).toBe(3)
    expect(calls).toEqual(['get', 'compareAndSet', 'compareAndSet'])
    expect(await cache.get('k')).toBe(3)
  })

  test('swap returns undefined if the value has changed, also if it was missing', async () => {
    const cache = new Cache(memory({ values }))
    const missing = await cache.snapshot<number>('k')
    expect((await missing.swap(1))?.value).toBe(1)
    expect(await missing.swap(2)).toBeUndefined()
    const first = await cache.snapshot<number>('k')
    await cache.set('k', 5)
    expect(await first.swap(6)).toBeUndefined()
    await cache.delete('k')
    expect(await first.swap(6)).toBeUndefined()
    expect(await cache.get('k')).toBeUndefined()
  })

  test('expectMissing replaces an entry that reads as a miss, and no other one', async () => {
    const clock = new ManualClock()
    const cache = new Cache(memory({ values, clock }), { clock })
    const create = {
      invalidated: async (key: string) => {
        await cache.set(key, 'old', { tags: ['t'] })
        await cache.invalidateTags('t')
      },
      stale: async (key: string) => {
        await cache.remember(key, { ttl: 1, staleWhileRevalidate: '1h' }, () => 'old')
        await clock.advance(1)
      },
    }
    for (const [key, createMiss] of Object.entries(create)) {
      await createMiss(key)
      expect((await expectMissing(cache, key).swap('new'))?.value).toBe('new')
      expect(await cache.get(key)).toBe('new')
      expect(await expectMissing(cache, key).replace('other')).toBe(false)
      expect(await cache.get(key)).toBe('new')
      await cache.delete(key)
      await createMiss(key)
      expect(await expectMissing(cache, key).replace('new', { ttl: 0 })).toBe(true)
    }
  })

  test('passes read options on, and reads strongly without them', async () => {
    const read: unknown[] = []
    const store: CacheStore = wrapStore(memory({ values }), (operation, call, [, options]) => {
      if (operation === 'get') read.push(options)
      return call()
    })
    const cache = new Cache(store)
    await cache.snapshot('k')
    await cache.snapshot('k', { confirmGeneration: 'on-miss', forUpdate: true })
    await cache.snapshot('k', { consistency: 'eventual' })
    expect(read).toEqual([
      { consistency: 'strong' },
      { consistency: 'strong', confirmGeneration: 'on-miss', forUpdate: true },
      { consistency: 'eventual' },
    ])
  })
})
