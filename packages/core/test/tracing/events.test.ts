import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { expect, test } from 'vitest'
import { world } from '../near/near-world.ts'
import { eventsDuring } from '../remember/events.ts'

test('an eviction is published, but not the expiry of an entry', async () => {
  const cache = new Cache(memory({ maxEntries: 2 }))
  const events = await eventsDuring('stowage:eviction', async () => {
    for (const key of ['a', 'b', 'c']) await cache.set(key, 1)
    await cache.delete('b')
  })
  expect(events).toEqual([{ store: 'memory', key: 'a' }])
})

test('the invalidation of tags and a clear are published', async () => {
  const cache = new Cache(memory(), { name: 'pages' })
  const events = await eventsDuring('stowage:invalidation', async () => {
    await cache.invalidateTags(['a', 'b'])
    await cache.clear()
  })
  expect(events).toEqual([
    { cache: 'pages', store: 'memory', reason: 'tags', tags: 2 },
    { cache: 'pages', store: 'memory', reason: 'clear', tags: 0 },
  ])
})

test('a near cache that has lost its bus publishes how many entries it drops', async () => {
  const { cache, bus } = await world()
  await cache.set('k', 1)
  await cache.get('k')
  await cache.get('k')
  const events = await eventsDuring('stowage:near', async () => {
    bus.disconnect()
    bus.reconnect()
  })
  expect(events).toContainEqual(expect.objectContaining({ store: 'reference', entries: 1 }))
})
