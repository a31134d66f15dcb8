import { createHook } from 'node:async_hooks'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { afterAll, expect, test } from 'vitest'

const cache = new Cache(memory({ values: 'shared' }), { prefix: 'app:', ttl: '1h' })
const users = cache.collection<string, number>('users', { load: () => 'loaded' })
afterAll(() => cache.close())

/** Returns how many promises are created until the call has returned its own. */
async function promisesOf(call: () => Promise<unknown>): Promise<number> {
  let count = 0
  const hook = createHook({
    init: (_, type) => {
      if (type === 'PROMISE') count++
    },
  })
  hook.enable()
  const result = call()
  hook.disable()
  await result
  return count
}

// Each further promise, or function that keeps its state, costs as much as the look into the map.
test.each<[string, number, () => Promise<unknown>]>([
  ['get', 1, () => cache.get('k')],
  ['remember', 1, () => cache.remember('k', {}, () => 'loaded')],
  ['getMany', 1, () => cache.getMany(['k', 'l'])],
  ['set', 1, () => cache.set('k', 'v')],
  ['get of a collection', 3, () => users.get(1)],
])('a hit in memory: %s creates %i promise(s)', async (_, expected, call) => {
  await cache.setMany([
    ['k', 'v'],
    ['l', 'v'],
  ])
  await users.get(1)
  expect(await promisesOf(call)).toBe(expected)
})
