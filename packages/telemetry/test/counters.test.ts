import { execFileSync } from 'node:child_process'
import { Collector } from '@stowage/telemetry'
import { metrics } from '@stowage/telemetry/prometheus'
import { isFullTier, propertySeed } from '@stowage/test-servers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type DriverName, drivers, startBackend } from './drivers.ts'
import { randomFrom, runWorkload } from './workload.ts'

/** The counts are those of the facade: a driver may only add calls and errors of its own. */
const usual: readonly DriverName[] = ['memory', 'redis', 'dynamodb']
const slowDrivers: readonly DriverName[] = ['dynamodb', 'postgres']
const tested = isFullTier ? drivers : drivers.filter((name) => usual.includes(name))
const calls = (driver: DriverName) => {
  if (isFullTier) return 100_000
  return slowDrivers.includes(driver) ? 300 : 1_500
}

describe.each(tested)('%s', { timeout: 900_000 }, (name) => {
  test('every counter equals what the callers have seen', async () => {
    const backend = await startBackend(name)
    const store = backend.createStore()
    await store.ping()
    const { collector, render, stop } = metrics()
    onTestFinished(stop)
    const model = await runWorkload(store, calls(name), randomFrom(propertySeed()))

    const counts = collector.totalOf('pages')
    expect({ ...counts }).toEqual({
      ...model.results,
      writes: model.writes,
      deletes: model.deletes,
    })
    const byOperation = Array.from(collector.durations, ([labels, { count }]) => [
      labels.operation as string,
      count,
    ])
    expect(new Map(byOperation as [string, number][])).toEqual(model.calls)
    const errors = new Map<string, number>()
    for (const [{ code }, { value }] of collector.errors)
      errors.set(code as string, (errors.get(code as string) ?? 0) + value)
    expect(errors).toEqual(model.errors)
    // The tests of this process before may have left caches that refresh their values.
    const loads = { ok: 0, error: 0 }
    for (const [{ cache, outcome }, { value }] of collector.loads)
      if (cache === 'pages') loads[outcome as keyof typeof loads] += value
    expect(loads).toEqual(model.loads)
    for (const [{ cache }, { value }] of collector.loadsInFlight)
      if (cache === 'pages') expect(value).toBe(0)
    execFileSync('promtool', ['check', 'metrics'], { input: render() })
    await store.close()
    await backend.stop()
  })
})

test('requests to servers are counted after batching', async () => {
  const backend = await startBackend('redis')
  const store = backend.createStore()
  await store.ping()
  using collector = new Collector()
  await Promise.all(['a', 'b', 'c'].map((key) => store.get(key)))
  await store.set('a', '1' as never)
  const keys = Array.from(collector.batchKeys, ([{ driver }, { count, sum }]) => ({
    driver,
    count,
    sum,
  }))
  expect(keys).toEqual([{ driver: 'redis', count: 2, sum: 4 }])
  await store.close()
  await backend.stop()
})
