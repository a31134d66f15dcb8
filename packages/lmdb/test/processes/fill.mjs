// Writes more than fits into a small file: fork(fill.mjs, ['<job as JSON>']).
import { randomBytes } from 'node:crypto'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { lmdb } from '@stowage/lmdb'

const { path, bytes } = JSON.parse(process.argv[2] ?? '{}')
const store = lmdb({ path, maxBytes: '64MiB' })
const body = randomBytes(200_000)
const sizes = [100, 1_000, 1_000, 1_000, 3_000, 10_000, 50_000, 200_000]
const started = performance.now()
let written = 0
let number = 0
let largestFile = 0
let memory = 0
let largestMemory = 0
while (written < bytes) {
  const entries = []
  for (let index = 0; index < 64; index++) {
    const item = body.subarray(0, sizes[number % sizes.length] ?? 0)
    entries.push([`key:${(number * 7919) % 1_000_003}`, item])
    written += item.length
    number++
  }
  const ttl = number % 3 === 0 ? 60_000 : undefined
  await store.setMany(/** @type {[string, Uint8Array][]} */ (entries), ttl)
  for (let index = 0; index < 8; index++) await store.get(`key:${(number * index) % 1_000_003}`)
  largestFile = Math.max(largestFile, statSync(join(path, 'data.mdb')).size)
  if (number % 6_400 === 0) {
    await new Promise((resolve) => setImmediate(resolve))
    largestMemory = Math.max(largestMemory, privateMemory())
    // After the first tenth, every buffer has its size.
    if (written < bytes / 10) memory = largestMemory
  }
}
await store.close()
const memoryGrowth = Math.max(0, largestMemory - memory)
process.send?.({
  problems: [],
  writes: number,
  seconds: (performance.now() - started) / 1_000,
  largestFile,
  memoryGrowth,
})
process.disconnect?.()

/** Memory of the process without that of mapped files. */
function privateMemory() {
  const { heapTotal, external } = process.memoryUsage()
  return heapTotal + external
}
