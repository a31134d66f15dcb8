import { createCaches } from '@stowage/core'
import { memory } from '@stowage/memory'
import { afterEach, describe, expect, it } from 'vitest'
import { History } from '../dist/telemetry/history.js'
import { Statistics } from '../dist/telemetry/statistics.js'
import { cacheCharts } from '../dist/views/components/cache-charts.js'

const bounds = [0.001, 0.01]
const totals = (reads: number, hits: number, durations: number[]) => ({
  ...{ reads, hits, durations, bounds },
})

describe('the history of a cache', () => {
  it('has the ratio and the quantiles of the minute before each point', () => {
    const history = new History()
    history.record(0, totals(0, 0, [0, 0, 0]))
    history.record(30_000, totals(4, 1, [4, 0, 0]))
    history.record(80_000, totals(14, 10, [4, 10, 0]))
    const points = history.points(80_000)
    expect(points.map(({ ageMs, hitRatio }) => [ageMs, hitRatio])).toEqual([
      [80_000, undefined],
      [50_000, 0.25],
      [0, 0.9],
    ])
    expect(points[1]?.medianMs).toBeCloseTo(0.5)
    expect(points[2]?.medianMs).toBeCloseTo(5.5)
    expect(points[2]?.p99Ms).toBeCloseTo(9.91)
  })

  it('has a gap where nothing was called, and forgets what is older than ten minutes', () => {
    const history = new History()
    for (let at = 0; at <= 1_200_000; at += 5_000) history.record(at, totals(9, 9, [9, 0, 0]))
    const points = history.points(1_200_000)
    expect(points).toHaveLength(121)
    expect(points.filter(({ hitRatio, p99Ms }) => hitRatio ?? p99Ms)).toEqual([])
  })

  it('shows calls beyond all buckets at the last bound', () => {
    const history = new History()
    history.record(0, totals(0, 0, [0, 0, 0]))
    history.record(1, totals(1, 1, [0, 0, 1]))
    expect(history.points(1)[1]?.medianMs).toBe(10)
  })
})

describe('the charts', () => {
  const point = (ageMs: number, hitRatio: number | undefined, ms = hitRatio && 1) => ({
    ...{ ageMs, hitRatio, medianMs: ms, p99Ms: ms },
  })

  it('leave a gap where there is no value, and draw a single value as a dot', () => {
    const points = [point(600_000, 0), point(300_000, undefined), point(0, 1)]
    expect(String(cacheCharts(points))).toContain('chart-first" d="M0 100h0M600 0h0"')
  })

  it('say that there were no calls', () => {
    expect(String(cacheCharts([point(0, undefined)]))).toContain('No calls in the last 10 minutes')
  })
})

describe('the statistics', () => {
  const caches = createCaches({ default: 'pages', stores: { pages: memory } })
  const statistics = new Statistics(caches)
  afterEach(() => statistics.close())

  it('are those that Prometheus reads', async () => {
    const cache = caches.use('pages')
    await cache.remember('k', {}, () => 'value')
    await cache.get('k')
    await cache.remember('fails', { backoff: 0 }, () => Promise.reject(new Error())).catch(() => {})
    expect(statistics.of('pages')).toEqual({ hits: 1, misses: 1, loads: 2, errors: 1 })
    const last = statistics.lastMinutes('pages').at(-1)
    expect(last?.hitRatio).toBeCloseTo(1 / 3)
    expect(last?.p99Ms).toBeGreaterThanOrEqual(last?.medianMs as number)
    expect(statistics.of('another')).toEqual({ hits: 0, misses: 0, loads: 0, errors: 0 })
  })
})
