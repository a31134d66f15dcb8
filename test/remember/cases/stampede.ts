import { expect, test } from 'vitest'
import type { Fleet } from '../processes/fleet.mjs'
import { percentile, rememberInAll, valuesOf } from './measuring.ts'

export function stampedeTests(started: () => Fleet, sizes: readonly number[]): void {
  test.each(sizes)('%i processes load a missing key once', async (size) => {
    const { origin } = started()
    const processes = await started().processes(size)
    const key = `cold ${size}`
    const request = { key, options: { ttl: '1m' }, load: { ms: 200 }, calls: 250 }
    const outcomes = await rememberInAll(processes, request)
    expect(origin.loadsOf(key)).toHaveLength(1)
    expect(outcomes).toHaveLength(250 * size)
    expect(valuesOf(outcomes)).toEqual(new Set([`value of ${key}`]))
    // The machine may stop the process of the load, for which the others wait.
    const [load] = origin.loadsOf(key)
    const loadMs = (load?.endedAt ?? Number.NaN) - (load?.startedAt ?? Number.NaN)
    expect(percentile(outcomes, 0.99)).toBeLessThan(loadMs + 3_000)
    // All calls are hits now.
    expect(valuesOf(await rememberInAll(processes, request))).toEqual(new Set([`value of ${key}`]))
    expect(origin.loadsOf(key)).toHaveLength(1)
  })

  test('a load of three lease ttls is not repeated', async () => {
    const fleet = started()
    const key = 'long load'
    const options = { ttl: '1m', lease: '1500ms' }
    const request = { key, options, load: { ms: 5_000 }, calls: 25 }
    const outcomes = await rememberInAll(await fleet.processes(4), request)
    expect(fleet.origin.loadsOf(key)).toHaveLength(1)
    expect(valuesOf(outcomes)).toEqual(new Set([`value of ${key}`]))
  })

  test('every process reads what one load has stored beside its value', async () => {
    const fleet = started()
    const processes = await fleet.processes(4)
    const key = 'with a body'
    const load = { ms: 200, hasBody: true }
    const request = { key, options: { ttl: '1m', staleWhileRevalidate: '1h' }, load, calls: 25 }
    const outcomes = await rememberInAll(processes, request)
    expect(fleet.origin.loadsOf(key)).toHaveLength(1)
    expect(valuesOf(outcomes)).toEqual(new Set([`value of ${key}`]))
  })

  test('several processes load the missing keys of rememberMany once', async () => {
    const fleet = started()
    const processes = await fleet.processes(4)
    const keys = Array.from({ length: 30 }, (_, index) => `many ${index}`)
    // Each process asks for another part of the keys, so that each has to wait for the loads of others.
    const outcomes = await Promise.all(
      processes.map((each, index) =>
        each.rememberMany({
          keys: [...keys.slice(index * 5, index * 5 + 15)].reverse(),
          options: { ttl: '1m' },
          load: { ms: 200 },
        }),
      ),
    )
    for (const [index, { value, error }] of outcomes.entries()) {
      expect(error).toBeUndefined()
      const asked = keys.slice(index * 5, index * 5 + 15).reverse()
      expect(value).toEqual(asked.map((key) => `value of ${key}`))
    }
    for (const key of keys) expect(fleet.origin.loadsOf(key), key).toHaveLength(1)
  })
}
