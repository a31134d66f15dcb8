import { expect, test } from 'vitest'
import type { Fleet } from '../processes/fleet.mjs'
import { waitUntil } from '../processes/wait-until.mjs'
import { rememberInAll, rememberOnce, valuesOf } from './measuring.ts'

export function staleTests(started: () => Fleet): void {
  test('a stale value is refreshed once, and no call waits for it', async () => {
    const { fleet, processes, request } = await staleValue('refreshed', {
      staleWhileRevalidate: '1m',
    })
    const release = fleet.origin.hold(request.key)
    const outcomes = await rememberInAll(processes, { ...request, calls: 250 })
    expect(valuesOf(outcomes)).toEqual(new Set(['old']))
    await fleet.origin.loadStarted(request.key, 2)
    const refreshing = fleet.origin.loadsOf(request.key)[1]?.process
    const others = processes.filter(({ pid }) => String(pid) !== String(refreshing))
    expect(others).toHaveLength(3)
    // A process that has read the stale value, and is stopped until the refresh has ended, loads it once more.
    await Promise.all(others.map((each) => each.refreshed()))
    release()
    await waitUntil('the value is refreshed', async () => {
      return (await processes[3]?.strongGet(request.key)) === 'new'
    })
    expect(fleet.origin.loadsOf(request.key)).toHaveLength(2)
  })

  test('a failed refresh is repeated after its backoff, and the stale value is served', async () => {
    const { fleet, processes, request } = await staleValue('failed refresh', {
      staleWhileRevalidate: '1m',
    })
    const failing = { ...request, load: { ms: 50, fails: true }, calls: 100 }
    await waitUntil('the refresh is repeated', async () => {
      expect(valuesOf(await rememberInAll(processes, failing))).toEqual(new Set(['old']))
      return fleet.origin.loadsOf(request.key).length > 2
    })
  })

  test('a failed refresh is not repeated before its backoff ends, in any process', async () => {
    const { fleet, processes, request } = await staleValue('refresh with backoff', {
      staleWhileRevalidate: '1m',
    })
    const options = { ...request.options, backoff: '1h' }
    const failing = { ...request, options, load: { ms: 50, fails: true }, calls: 100 }
    await rememberInAll(processes, failing)
    await fleet.origin.loadStarted(request.key, 2)
    await fleet.origin.loadsEnded(request.key)
    for (let round = 0; round < 3; round++) {
      expect(valuesOf(await rememberInAll(processes, failing))).toEqual(new Set(['old']))
    }
    expect(fleet.origin.loadsOf(request.key)).toHaveLength(2)
  })

  test('callers wait for the load of a value past staleWhileRevalidate, and get it if that fails', async () => {
    const { fleet, processes, request } = await staleValue('stale if error', { staleIfError: '1m' })
    const failing = { ...request, load: { ms: 200, fails: true }, calls: 100 }
    const release = fleet.origin.hold(request.key)
    const calling = rememberInAll(processes, failing)
    let isWaiting = true
    calling.finally(() => {
      isWaiting = false
    })
    await fleet.origin.loadStarted(request.key, 2)
    expect(isWaiting).toBe(true)
    release()
    expect(valuesOf(await calling)).toEqual(new Set(['old']))
    expect(fleet.origin.loadsOf(request.key)).toHaveLength(2)
  })

  /** A value that has been loaded, and has become stale. */
  async function staleValue(key: string, windows: Record<string, string>) {
    const fleet = started()
    const processes = await fleet.processes(4)
    const [first] = processes
    // A machine that is busy must not end the lease of a load.
    const request = { key, options: { ttl: '1m', lease: '1m', ...windows }, load: { ms: 1 } }
    fleet.origin.set(key, 'old')
    if (first === undefined) throw new Error('no process')
    await rememberOnce(first, request)
    expect(await first.call('expire', key)).toBe(true)
    fleet.origin.set(key, 'new')
    return { fleet, processes, request }
  }
}
