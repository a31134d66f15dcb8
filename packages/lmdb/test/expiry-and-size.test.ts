import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lmdb } from '@stowage/lmdb'
import { ManualClock } from '@stowage/testing'
import { expect, test } from 'vitest'
import { fileBytes } from './processes/harness.mjs'
import { temporaryFolder } from './temporary-folder.ts'

const folder = temporaryFolder()
const mebibyte = 1024 * 1024

async function waitUntil(what: string, isDone: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 1_000; attempt++) {
    if (await isDone()) return
    await sleep(10)
  }
  throw new Error(`Not reached: ${what}`)
}

/** The keys in the file, whether expired or not, as a store with another clock sees them. */
async function storedKeys(path: string): Promise<string[]> {
  const store = lmdb({ path, clock: new ManualClock(0), sweepInterval: '1h' })
  const keys: string[] = []
  for await (const page of store.scan?.('') ?? []) keys.push(...page)
  await store.close()
  return keys
}

test('a sweeper deletes expired items of a clock with fractions of milliseconds', async () => {
  const path = join(folder, 'fractions')
  const clock = new ManualClock(1_000)
  const fractional = { now: () => clock.now() + 0.5, sleep: clock.sleep.bind(clock) }
  const store = lmdb({ path, clock: fractional, sweepInterval: '5ms' })
  await store.set('short', 'value', 1_000)
  await clock.advance(2_000)
  await waitUntil('the item is deleted', async () => (await storedKeys(path)).length === 0)
  await store.close()
})

test('a sweeper deletes expired items, and only those', async () => {
  const path = join(folder, 'sweep')
  const clock = new ManualClock()
  const store = lmdb({ path, clock, sweepInterval: '5ms' })
  const keys = Array.from({ length: 1_000 }, (_, index) => `short:${index}`)
  await store.setMany(
    keys.map((key) => [key, 'value']),
    1_000,
  )
  await store.set('forever', 'value')
  await store.set('later', 'value', 1_000)
  await store.touch('later', 5_000)
  await store.set('overwritten', 'value', 1_000)
  await store.set('overwritten', 'value')
  expect(await storedKeys(path)).toHaveLength(1_003)
  await clock.advance(1_000)
  await waitUntil('swept', async () => (await storedKeys(path)).length === 3)
  expect((await storedKeys(path)).sort()).toEqual(['forever', 'later', 'overwritten'])
  await clock.advance(4_000)
  await waitUntil('swept', async () => (await storedKeys(path)).length === 2)
  await store.close()
})

test('one process at a time sweeps, and another one takes over when it has ended', async () => {
  const path = join(folder, 'sweepers')
  const clock = new ManualClock()
  const first = lmdb({ path, clock, sweepInterval: '5ms' })
  await first.set('a', 'value', 10)
  await clock.advance(10)
  await waitUntil('swept', async () => (await storedKeys(path)).length === 0)
  await first.close()
  const second = lmdb({ path, clock, sweepInterval: '5ms' })
  await second.set('b', 'value', 10)
  await clock.advance(10)
  await sleep(100)
  expect(await storedKeys(path)).toEqual(['b'])
  await clock.advance(5_000)
  await waitUntil('swept', async () => (await storedKeys(path)).length === 0)
  await second.close()
})

test('the file stays below its size under many writes, and the items in use stay', async () => {
  const path = join(folder, 'size')
  const store = lmdb({ path, maxBytes: '8MiB' })
  const body = randomBytes(20_000)
  await store.set('hot', 'used all the time')
  let largest = 0
  let hits = 0
  for (let round = 0; round < 150; round++) {
    const sizes = [100, 1_000, 3_000, 20_000]
    const entries = Array.from(
      { length: 40 },
      (_, index) =>
        [`${round}:${index}`, body.subarray(0, sizes[index % sizes.length] ?? 0)] as const,
    )
    await store.setMany(entries, 3_600_000)
    if ((await store.get('hot')) !== undefined) hits++
    largest = Math.max(largest, fileBytes(path))
    // Uses are recorded in the background.
    if (round % 10 === 0) await sleep(120)
  }
  expect(largest).toBeGreaterThan(6 * mebibyte)
  expect(largest).toBeLessThan(10 * mebibyte)
  expect(hits).toBe(150)
  expect(await store.get('149:39')).toBeDefined()
  expect(await store.get('0:1')).toBeUndefined()
  await store.close()
})

test('expired items are evicted first', async () => {
  const path = join(folder, 'expired-first')
  const clock = new ManualClock()
  const store = lmdb({ path, clock, maxBytes: '2MiB', sweepInterval: '1h' })
  const body = 'x'.repeat(1_000)
  for (let index = 0; index < 500; index++) await store.set(`old:${index}`, body, 1_000)
  for (let index = 0; index < 500; index++) await store.set(`kept:${index}`, body)
  await clock.advance(2_000)
  for (let index = 0; index < 400; index++) await store.set(`new:${index}`, body)
  const kept = Array.from({ length: 500 }, (_, index) => `kept:${index}`)
  expect((await store.getMany(kept)).filter((item) => item !== undefined)).toHaveLength(500)
  await store.close()
})

test('values of every size come back, and chunks are freed', async () => {
  const path = join(folder, 'chunks')
  const store = lmdb({ path, maxBytes: '32MiB' })
  for (const size of [0, 1, 2_000, 3_983, 3_984, 4_000, 4_001, 8_000, 100_000, 2_000_000]) {
    const bytes = randomBytes(size)
    await store.set('bytes', bytes)
    expect(Buffer.from((await store.get('bytes')) as Uint8Array).equals(bytes)).toBe(true)
    const text = 'é'.repeat(size / 2)
    await store.set('text', text)
    expect(await store.get('text')).toBe(text)
  }
  for (let round = 0; round < 100; round++) await store.set('bytes', randomBytes(1_000_000))
  expect(fileBytes(path)).toBeLessThan(12 * mebibyte)
  await store.close()
})
