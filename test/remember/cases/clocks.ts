import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Fleet } from '../processes/fleet.mjs'
import { waitUntil } from '../processes/wait-until.mjs'
import type { WorkerProcess } from '../processes/worker-process.mjs'
import { rememberOnce } from './measuring.ts'

const clockShiftMs = 600_000
const ttlMs = 3_000
/** The clock of a backend may tick once per second, so that a value may become stale a second early. */
const earliestMs = ttlMs - 1_500

type Pair = readonly [writer: WorkerProcess, reader: WorkerProcess]

export function clockTests(started: () => Fleet): void {
  describe('two processes whose clocks differ by ten minutes', () => {
    let slow: WorkerProcess
    let fast: WorkerProcess
    const inBothDirections = (check: (pair: Pair, name: string) => Promise<void>) =>
      Promise.all([check([slow, fast], 'fast reader'), check([fast, slow], 'slow reader')])

    beforeAll(async () => {
      slow = await started().spawn()
      fast = await started().spawn({ clockShiftMs })
    })
    afterAll(async () => {
      await slow.stop()
      await fast.stop()
    })

    test('agree on when a value becomes stale', async () => {
      await inBothDirections(async ([writer, reader], name) => {
        const { origin } = started()
        const key = `stale for the ${name}`
        const options = { ttl: ttlMs, staleWhileRevalidate: '1h' }
        const request = { key, options, load: { ms: 1 } }
        const start = performance.now()
        await rememberOnce(writer, request)
        for (const each of [reader, writer]) await rememberOnce(each, request)
        expect(origin.loadsOf(key)).toHaveLength(1)
        await waitUntil('the value is refreshed', async () => {
          await rememberOnce(reader, request)
          return origin.loadsOf(key).length > 1
        })
        expect(performance.now() - start).toBeGreaterThanOrEqual(earliestMs)
        // The writer sees the refreshed value of the reader as fresh.
        await origin.loadsEnded(key)
        await waitUntil(
          'the value is fresh',
          async () => (await writer.strongGet(key)) !== undefined,
        )
        await rememberOnce(writer, request)
        expect(origin.loadsOf(key)).toHaveLength(2)
      })
    })

    test('agree on when a value expires', async () => {
      await inBothDirections(async ([writer, reader], name) => {
        const { origin } = started()
        const key = `expired for the ${name}`
        const request = { key, options: { ttl: ttlMs }, load: { ms: 1 } }
        const start = performance.now()
        await rememberOnce(writer, request)
        await rememberOnce(reader, request)
        expect(origin.loadsOf(key)).toHaveLength(1)
        for (const each of [writer, reader]) {
          expect(await each.strongGet(key)).toBe(`value of ${key}`)
        }
        await waitUntil('both miss', async () => {
          const values = await Promise.all([writer.strongGet(key), reader.strongGet(key)])
          return values.every((value) => value === undefined)
        })
        expect(performance.now() - start).toBeGreaterThanOrEqual(earliestMs)
      })
    })

    test('agree on what the invalidation of a tag ends', async () => {
      await inBothDirections(async ([writer, reader], name) => {
        const { origin } = started()
        const key = `tagged for the ${name}`
        const request = { key, options: { ttl: '1h', tags: [name] }, load: { ms: 1 } }
        await rememberOnce(writer, request)
        await rememberOnce(reader, request)
        expect(origin.loadsOf(key)).toHaveLength(1)
        await reader.call('invalidateTags', name)
        for (const each of [writer, reader]) expect(await each.strongGet(key)).toBeUndefined()
        await rememberOnce(writer, request)
        expect(origin.loadsOf(key)).toHaveLength(2)
        expect(await reader.strongGet(key)).toBe(`value of ${key}`)
      })
    })

    test('keep values whose loader adds a tag that the other has invalidated before', async () => {
      await inBothDirections(async ([writer, reader], name) => {
        const key = `tagged late for the ${name}`
        const tag = `late ${name}`
        const request = { key, options: { ttl: '1h' }, load: { ms: 1, lateTags: [tag] } }
        await rememberOnce(writer, request)
        await reader.call('invalidateTags', tag)
        expect(await writer.strongGet(key)).toBeUndefined()
        // Tags invalidated within the uncertainty of the backend's clock, and a pass mark of 1 s, delay it.
        await waitUntil('the value is kept', async () => {
          await rememberOnce(writer, request)
          return (await reader.strongGet(key)) !== undefined
        })
      })
    })
  })
}
