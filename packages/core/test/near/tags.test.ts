import { Cache } from '@stowage/core'
import { describe, expect, test } from 'vitest'
import { world } from './near-world.ts'

describe('tags', () => {
  test('a tagged hit costs no call', async () => {
    const { cache, calls } = await world()
    const options = { ttl: '1m', tags: ['t'] } as const
    await cache.remember('k', options, () => 1)
    await cache.remember('k', options, () => 2)
    await cache.get('k')
    calls.length = 0
    expect(await cache.get('k')).toBe(1)
    expect(await cache.remember('k', options, () => 3)).toBe(1)
    expect(await cache.getMany(['k'])).toEqual([1])
    expect(calls).toEqual([])
  })

  test('an invalidated tag makes its entries misses at once in the own process', async () => {
    const { cache, bus } = await world()
    await cache.set('k', 1, { tags: ['t'] })
    await cache.get('k')
    await cache.get('k')
    await cache.invalidateTags('t')
    expect(await cache.get('k')).toBeUndefined()
    expect(bus.published).toContain('app:~tag:t')
  })

  test('in another process as soon as the message has arrived', async () => {
    const { cache, bus, store, clock } = await world()
    const other = new Cache(store, { prefix: 'app:', clock })
    await cache.set('k', 1, { tags: ['t'] })
    await cache.get('k')
    await cache.get('k')
    await other.invalidateTags('t')
    expect(await cache.get('k')).toBe(1)
    bus.deliver(['app:~tag:t'])
    expect(await cache.get('k')).toBeUndefined()
  })

  test('returns the new value of another process if only the tag was announced yet', async () => {
    const { cache, bus, store, clock } = await world()
    const other = new Cache(store, { prefix: 'app:', clock })
    await cache.set('k', 'old', { tags: ['t'] })
    await cache.get('k')
    await cache.get('k')
    await other.invalidateTags('t')
    await other.set('k', 'new', { tags: ['t'] })
    bus.deliver(['app:~tag:t'])
    expect(await cache.get('k')).toBe('new')
  })

  test('a load does not record an outdated version', async () => {
    const { cache, store, clock } = await world()
    const other = new Cache(store, { prefix: 'app:', clock })
    await cache.set('other', 1, { tags: ['t'] })
    await cache.get('other')
    await cache.get('other')
    await other.invalidateTags('t') // Not announced yet.
    await cache.remember('k', { ttl: '1m', tags: ['t'] }, () => 'loaded')
    expect(await other.get('k')).toBe('loaded')
    await cache.rememberMany(['m'], { ttl: '1m', tags: ['t'] }, () => ['many'])
    expect(await other.get('m')).toBe('many')
  })
})
