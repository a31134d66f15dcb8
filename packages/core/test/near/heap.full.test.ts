import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Cache, nullStore } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { expect, test } from 'vitest'

const maxBytes = 4_000_000
/** The documentation states 500. */
const bytesPerEntry = 800

test.each(['frozen', 'copied'] as const)('the heap of %s values is bounded', async (values) => {
  const near = { values, maxBytes, maxEntries: 1_000_000, ttl: '1h' } as const
  const cache = new Cache(generatingStore(), { near })
  await readMany(cache, 1_000)
  const before = await heapUsed()
  await readMany(cache, 100_000)
  const { bytes = 0, entries = 0 } = cache.near?.stats ?? {}
  expect(bytes).toBeGreaterThan(maxBytes * 0.9)
  expect(bytes).toBeLessThanOrEqual(maxBytes)
  expect((await heapUsed()) - before).toBeLessThan(maxBytes * 1.2 + entries * bytesPerEntry)
})

/** Contains a value of some 300 bytes for every key. Each is a part of a much larger buffer. */
function generatingStore(): ByteStore {
  return wrapStore(nullStore() as ByteStore, (operation, call, [keys]) => {
    if (operation === 'getMany') return (keys as string[]).map(payloadFor) as never
    return operation === 'get' ? (payloadFor(keys as string) as never) : call()
  })
}

function payloadFor(key: string): Buffer {
  const value = { key, name: `name of ${key}`, roles: ['reader', 'writer'], text: 'x'.repeat(200) }
  const text = JSON.stringify(value)
  return Buffer.concat([Buffer.from(text), Buffer.alloc(10_000)]).subarray(0, text.length)
}

async function readMany(cache: Cache, count: number): Promise<void> {
  for (let i = 0; i < count; i++) await cache.get(`key${i}`)
}

async function heapUsed(): Promise<number> {
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc') as () => void
  // Buffers are freed some time after their objects.
  for (let i = 0; i < 3; i++) {
    gc()
    await sleep(50)
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
