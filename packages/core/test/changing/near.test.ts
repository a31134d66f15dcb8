import { expect, test } from 'vitest'
import { world } from '../near/near-world.ts'

test('a mark is announced to the near caches of other processes, also that of a missing key', async () => {
  const { cache, bus } = await world()
  await cache.set('k', 'old', { tags: ['t'] })
  bus.published.length = 0
  await cache.changing({ keys: ['k', 'missing'], tags: ['t'] }, () => {
    expect(bus.published).toEqual(expect.arrayContaining(['app:k', 'app:missing', 'app:~tag:t']))
  })
})

test('a near cache of this process keeps nothing that is changed', async () => {
  const { cache } = await world()
  await cache.set('k', 'old')
  await cache.get('k')
  await cache.changing({ keys: ['k'] }, async () => {
    expect(await cache.get('k')).toBeUndefined()
    expect(await cache.remember('k', {}, () => 'loaded')).toBe('loaded')
    expect(await cache.get('k')).toBeUndefined()
  })
  expect(await cache.get('k')).toBeUndefined()
})
