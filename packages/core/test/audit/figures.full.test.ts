import { type AuditReport, Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { ManualClock } from '@stowage/testing'
import { afterEach, expect, test, vi } from 'vitest'
import { settle } from '../remember/two-processes.ts'
import { seeded } from './seeded.ts'

const everyHit = { sample: 1, perSecond: 1_000 }
const rowCount = 100
const readMs = 200
const windows = { '1s': 1_000, '1m': 60_000, '10m': 600_000 } as const
const windowNames = Object.keys(windows) as (keyof typeof windows)[]

afterEach(() => vi.restoreAllMocks())

test('a cache whose changes are exact has no inconsistent hit in 100,000 samples', async () => {
  const clock = new ManualClock()
  const cache = new Cache(memory({ clock }), { clock, ttl: '1d', audit: everyHit })
  const random = seeded(1)
  const source = new Map<string, number>()
  const load = ({ key }: { readonly key: string }) => source.get(key)
  for (let n = 0; (cache.audit?.report().sampled ?? 0) < 100_000; n++) {
    const key = `row:${Math.floor(random() * rowCount)}`
    if (random() < 0.1) await cache.changing({ keys: [key] }, () => source.set(key, n))
    else await cache.remember(key, {}, load)
    await clock.advance(1)
    await settle()
  }
  await clock.advance(windows['10m'])
  await settle()
  expect(cache.audit?.report()).toMatchObject({
    differing: 0,
    inconsistent: { '1s': 0, '1m': 0, '10m': 0 },
  })
  await cache.close()
}, 300_000)

test.each([1, 2, 3, 4, 5])(
  'a sample of 1,000 hits shows a missing invalidation in 10,000 writes within a tenth (seed %i)',
  async (seed) => {
    const { report, hits, wrongFor } = await runWithMissingInvalidations(seed)
    expect(report.sampled).toBeGreaterThan(950)
    for (const name of windowNames) {
      const actual = wrongFor(windows[name]) / hits
      const reported = report.inconsistent[name] / report.sampled
      expect(actual).toBeGreaterThan(0.4)
      expect(Math.abs(reported / actual - 1), `${name}: ${reported} of ${actual}`).toBeLessThan(0.1)
    }
  },
  300_000,
)

const writeCount = 20_000
const readsPerWrite = 6
/** Of 10,000 writes, those of the row that most reads are of: one without an invalidation, and a later one with it. */
const [withoutInvalidation, withInvalidation] = [2_000, 9_000]

/** Reads and writes rows, of which row 0 has four fifths of the reads, and samples a hundredth of the hits. */
async function runWithMissingInvalidations(seed: number) {
  const random = seeded(seed)
  const sampler = seeded(seed + 1_000)
  vi.spyOn(Math, 'random').mockImplementation(sampler)
  const clock = new ManualClock()
  const audit = { sample: 1 / 100, perSecond: 1_000 }
  const cache = new Cache(memory({ clock }), { clock, ttl: '1d', audit })
  const source = new Map<string, number>()
  /** When the wrong value of a hit was replaced. */
  const wrongHits: { readonly at: number; until: number }[] = []
  let [hits, isWrong] = [0, false]
  const write = async (n: number) => {
    const nth = n % 10_000
    const isHotRow = nth === withoutInvalidation || nth === withInvalidation
    const key = isHotRow ? 'row:0' : `row:${1 + Math.floor(random() * (rowCount - 1))}`
    source.set(key, n)
    if (nth === withoutInvalidation) {
      isWrong = true
      return
    }
    await cache.delete(key)
    if (!isHotRow) return
    for (const hit of wrongHits) hit.until = Math.min(hit.until, clock.now())
    isWrong = false
  }
  const read = async () => {
    const key = random() < 0.8 ? 'row:0' : `row:${1 + Math.floor(random() * (rowCount - 1))}`
    let isHit = true
    await cache.remember(key, {}, ({ background }) => {
      if (!background) isHit = false
      return source.get(key) ?? -1
    })
    if (!isHit) return
    hits++
    if (isWrong && key === 'row:0') wrongHits.push({ at: clock.now(), until: Infinity })
  }
  for (let n = 0; n < writeCount; n++) {
    await write(n)
    for (let each = 0; each < readsPerWrite; each++) {
      await read()
      await clock.advance(readMs)
    }
  }
  // The last comparisons of the wrong hits.
  await cache.delete('row:0')
  for (const hit of wrongHits) hit.until = Math.min(hit.until, clock.now())
  await clock.advance(windows['10m'])
  await settle()
  const report = cache.audit?.report() as AuditReport
  await cache.close()
  const wrongFor = (ms: number) => wrongHits.filter(({ at, until }) => until >= at + ms).length
  return { report, hits, wrongFor }
}
