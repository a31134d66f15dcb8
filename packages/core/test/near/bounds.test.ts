import { Cache, type NearOptions } from '@stowage/core'
import { ReferenceStore } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { world } from './near-world.ts'

describe('bounds', () => {
  test('keeps maxBytes by payload, and does not keep larger entries', async () => {
    const { cache } = await world({ maxBytes: '10KB' })
    for (let i = 0; i < 100; i++) {
      await cache.set(`k${i}`, 'x'.repeat(1_000))
      await cache.get(`k${i}`)
      expect(cache.near?.stats.bytes).toBeLessThanOrEqual(10_000)
    }
    expect(cache.near?.stats.entries).toBe(9)
    await cache.set('large', 'x'.repeat(20_000))
    expect(await cache.get('large')).toHaveLength(20_000)
    expect(cache.near?.stats.bytes).toBeLessThanOrEqual(10_000)
  })

  test('keeps maxEntries', async () => {
    const { cache } = await world({ maxEntries: 3 })
    for (const key of 'abcdef') {
      await cache.set(key, 1)
      await cache.get(key)
    }
    expect(cache.near?.stats.entries).toBe(3)
  })

  test.each([
    [{ maxBytes: 'plenty' }, /number with a unit such as .* not plenty/],
    [{ maxEntries: 0 }, /near: maxEntries/],
    [{ values: 'cloned' }, /near: values must be one of frozen, copied, shared/],
    [{ maxEntires: 1 }, /Did you mean maxEntries/],
  ])('rejects %o', (near, message) => {
    expect(() => new Cache(new ReferenceStore(), { near: near as NearOptions })).toThrow(message)
  })
})
