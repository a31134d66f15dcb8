import { Cache } from '@stowage/core'
import { memory } from '@stowage/memory'
import { type MetricFamily, mergeFamilies, metrics } from '@stowage/telemetry/prometheus'
import { expect, test, vi } from 'vitest'

/** The lines of the metrics whose names begin with this, without comments. */
function linesOf(caches: readonly Cache[], name: string): string[] {
  const { render, stop } = metrics({ caches: () => caches })
  stop()
  return render()
    .split('\n')
    .filter((line) => line.startsWith(name))
}

const labels = '{cache="pages",driver="memory"}'

test('entries and bytes of the memory of the process', async () => {
  const cache = new Cache(memory(), { name: 'pages' })
  await cache.set('k', 'value')
  expect(linesOf([cache], 'stowage_cache_entries')).toEqual([`stowage_cache_entries${labels} 1`])
  const [bytes] = linesOf([cache], 'stowage_cache_bytes')
  expect(Number(bytes?.split(' ')[1])).toBeGreaterThan('kvalue'.length)
})

test('no size where it is not counted, and nothing for other caches', async () => {
  const shared = new Cache(memory({ values: 'shared' }), { name: 'pages' })
  expect(linesOf([shared], 'stowage_cache_bytes')).toEqual([])
  expect(linesOf([shared], 'stowage_cache_entries')).toHaveLength(1)
  expect(linesOf([shared], 'stowage_near')).toEqual([])
  expect(linesOf([shared], 'stowage_audit')).toEqual([])
  expect(linesOf([], 'stowage_cache_entries')).toEqual([])
})

test('caches with the same name are one series', async () => {
  const caches = [memory(), memory()].map((store) => new Cache(store, { name: 'pages', near: {} }))
  for (const cache of caches) {
    await cache.set('k', 1)
    await cache.get('k')
  }
  expect(linesOf(caches, 'stowage_near_entries')).toEqual([`stowage_near_entries${labels} 2`])
  expect(linesOf(caches, 'stowage_cache_entries')).toEqual([`stowage_cache_entries${labels} 2`])
  expect(linesOf(caches, 'stowage_near_serving')).toEqual([`stowage_near_serving${labels} 1`])
})

test('a near cache that is off in one process is off in the combined metrics', () => {
  const serving = (value: number): MetricFamily => ({
    ...{ name: 'stowage_near_serving', help: 'Help.', type: 'gauge', aggregator: 'min' },
    samples: [{ suffix: '', labels: {}, value }],
  })
  const [combined] = mergeFamilies([[serving(1)], [serving(0)], [serving(1)]])
  expect(combined?.samples).toEqual([{ suffix: '', labels: {}, value: 0 }])
})

test('an audit counts what its report contains', async () => {
  const audit = { sample: 1, perSecond: 1_000 }
  const cache = new Cache(memory(), { name: 'pages', ttl: '1h', audit })
  let source = 'old'
  await cache.remember('k', {}, () => source)
  source = 'new'
  await cache.remember('k', {}, () => source)
  await vi.waitFor(() => expect(cache.audit?.report().inconsistent['1s']).toBe(1), 30_000)
  const { sampled, differing } = cache.audit?.report() ?? {}
  expect(linesOf([cache], 'stowage_audit')).toEqual([
    `stowage_audit_sampled_total${labels} ${sampled}`,
    `stowage_audit_differing_total${labels} ${differing}`,
    `stowage_audit_stale_total${labels} 0`,
    'stowage_audit_inconsistent_total{cache="pages",driver="memory",window="1s"} 1',
    'stowage_audit_inconsistent_total{cache="pages",driver="memory",window="1m"} 0',
    'stowage_audit_inconsistent_total{cache="pages",driver="memory",window="10m"} 0',
  ])
  await cache.close()
})
