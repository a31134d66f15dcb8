import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { afterAll, expect, test } from 'vitest'
import { promisesOf } from './promises-of.ts'

const cache = new Cache(memory({ values: 'shared' }), { prefix: 'app:', ttl: '1h' })
const users = cache.collection<string, number>('users', { load: () => 'loaded' })
afterAll(() => cache.close())

// Each further promise, or function that keeps its state, costs as much as the look into the map.
test.each<[string, number, () => Promise<unknown>]>([
  ['get', 1, () => cache.get('k')],
  ['remember', 1, () => cache.remember('k', {}, () => 'loaded')],
  ['getMany', 1, () => cache.getMany(['k', 'l'])],
  ['get with tags', 1, () => cache.get('tagged')],
  ['set', 1, () => cache.set('k', 'v')],
  ['get of a collection', 1, () => users.get(1)],
])('a hit in memory: %s creates %i promise(s)', async (_, expected, call) => {
  await cache.setMany([
    ['k', 'v'],
    ['l', 'v'],
  ])
  await cache.set('tagged', 'v', { tags: ['news'] })
  await users.get(1)
  // The tags of a key are known after its first read.
  await cache.get('tagged')
  expect(await promisesOf(call)).toBe(expected)
})
