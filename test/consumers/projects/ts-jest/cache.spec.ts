import { deepStrictEqual } from 'node:assert'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'

declare function test(name: string, run: () => Promise<void>): void

test('a TypeScript test uses the packages', async () => {
  const cache = new Cache(memory(), { prefix: 'app:' })
  await cache.set('a', { count: 1 })
  const value: { count: number } | undefined = await cache.get<{ count: number }>('a')
  deepStrictEqual(value, { count: 1 })
  await cache.close()
})
