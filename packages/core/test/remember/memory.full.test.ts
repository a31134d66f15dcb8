import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { expect, test } from 'vitest'

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

test('keys that were loaded once leave nothing behind', async () => {
  const cache = new Cache(memory({ maxEntries: 10 }))
  const load = async (from: number, count: number) => {
    for (let index = from; index < from + count; index += 500) {
      const keys = Array.from({ length: 500 }, (_, offset) => `key ${index + offset}`)
      const options = { ttl: '1h', staleWhileRevalidate: '1h' } as const
      await Promise.all(keys.map((key) => cache.remember(key, options, async () => 'value')))
    }
    // What a collection in progress has marked already is kept by the first one.
    collectGarbage()
    collectGarbage()
    return process.memoryUsage().heapUsed
  }
  const before = await load(0, 20_000)
  const after = await load(20_000, 100_000)
  // 100,000 entries of a map of keys would take more than ten times as much.
  expect(after - before).toBeLessThan(1_000_000)
})
