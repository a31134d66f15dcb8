import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { redis } from '@stowage/redis'

declare function test(name: string, run: () => Promise<void>): void
declare const expect: (value: unknown) => { toEqual(expected: unknown): void }

test('a TypeScript test uses the packages', async () => {
  const cache = new Cache(memory(), { prefix: 'app:' })
  await cache.set('a', { count: 1 })
  expect(await cache.get('a')).toEqual({ count: 1 })
  expect(typeof redis).toEqual('function')
  await cache.close()
})
