import { expect, test } from 'vitest'
import type { Fleet } from '../processes/fleet.mjs'
import { waitUntil } from '../processes/wait-until.mjs'
import {
  clockToleranceMs,
  pauseBetween,
  rememberInAll,
  rememberOnce,
  slowest,
  valuesOf,
} from './measuring.ts'

const loadMs = 1_000

export function staleTests(started: () => Fleet): void {
  test('a stale value is refreshed once, and no call waits for it', async () => {
    const { fleet, processes, request } = await staleValue('refreshed', {
      staleWhileRevalidate: '1m',
    })
    const outcomes = await rememberInAll(processes, { ...request, calls: 250 })
    expect(valuesOf(outcomes)).toEqual(new Set(['old']))
    expect(slowest(outcomes)).toBeLessThan(loadMs * 0.7)
    await waitUntil('the value is refreshed', async () => {
      return (await processes[3]?.strongGet(request.key)) === 'new'
    })
    expect(fleet.origin.loadsOf(request.key)).toHaveLength(2)
  })

  test('a failed refresh is repeated a second later, and the stale value is served', async () => {
    const { fleet, processes, request } = await staleValue('failed refresh', {
      staleWhileRevalidate: '1m',
    })
    const failing = { ...request, load: { ms: 50, fails: true }, calls: 100 }
    await waitUntil('the refresh is repeated', async () => {
      expect(valuesOf(await rememberInAll(processes, failing))).toEqual(new Set(['old']))
      return fleet.origin.loadsOf(request.key).length > 2
    })
    const [, failed, repeated] = fleet.origin.loadsOf(request.key)
    // The default of `backoff` where a stale value is served.
    expect(pauseBetween(failed, repeated)).toBeGreaterThan(1_000 - clockToleranceMs)
  })

  test('callers wait for the load of a value past staleWhileRevalidate, and get it if that fails', async () => {
    const { fleet, processes, request } = await staleValue('stale if error', { staleIfError: '1m' })
    const failing = { ...request, load: { ms: 200, fails: true }, calls: 100 }
    const outcomes = await rememberInAll(processes, failing)
    expect(valuesOf(outcomes)).toEqual(new Set(['old']))
    expect(slowest(outcomes)).toBeGreaterThan(150)
    expect(fleet.origin.loadsOf(request.key)).toHaveLength(2)
  })

  /** A value that has been loaded, and has become stale. */
  async function staleValue(key: string, windows: Record<string, string>) {
    const fleet = started()
    const processes = await fleet.processes(4)
    const [first] = processes
    const request = { key, options: { ttl: '1m', ...windows }, load: { ms: loadMs } }
    fleet.origin.set(key, 'old')
    if (first === undefined) throw new Error('no process')
    await rememberOnce(first, { ...request, load: { ms: 1 } })
    expect(await first.call('expire', key)).toBe(true)
    fleet.origin.set(key, 'new')
    return { fleet, processes, request }
  }
}
