import { expect, test } from 'vitest'
import type { Fleet } from '../processes/fleet.mjs'
import { waitUntil } from '../processes/wait-until.mjs'
import { mostAtOnce, pausesBetween, rememberInAll, valuesOf } from './measuring.ts'

export function failureTests(started: () => Fleet, maxSize: number): void {
  test('with backoff, a failing load is executed once in all processes until that ends', async () => {
    const fleet = started()
    const processes = await fleet.processes(4)
    const fail = async (key: string, backoff: string) => {
      const options = { ttl: '1m', backoff }
      const request = { key, options, load: { ms: 50, fails: true }, calls: 250 }
      const outcomes = await rememberInAll(processes, request)
      for (const { error } of outcomes) {
        if (error?.code !== 'ERR_CACHE_LOAD') expect(error?.message).toMatch(/^load failed in/)
        else expect(error.retryable).toBe(true)
      }
    }
    for (let round = 0; round < 3; round++) await fail('failing with a long backoff', '1h')
    expect(fleet.origin.loadsOf('failing with a long backoff')).toHaveLength(1)
    // How long a short one lasts is up to the clock of the server, which the machine may stop.
    await waitUntil('the backoff ends', async () => {
      await fail('failing with a short backoff', '1s')
      return fleet.origin.loadsOf('failing with a short backoff').length > 1
    })
  })

  test('without backoff, each process loads once at a time, and throws its own error', async () => {
    const fleet = started()
    const processes = await fleet.processes(4)
    const key = 'failing'
    const request = { key, options: { ttl: '1m' }, load: { ms: 100, fails: true }, calls: 250 }
    for (let round = 0; round < 3; round++) {
      const results = await Promise.all(processes.map((each) => each.remember(request)))
      for (const [index, outcomes] of results.entries()) {
        const messages = new Set(outcomes.map(({ error }) => error?.message))
        expect(messages).toEqual(new Set([`load failed in process ${processes[index]?.pid}`]))
      }
    }
    for (const { pid } of processes) {
      const own = fleet.origin.loadsOf(key).filter((load) => load.process === `${pid}`)
      for (const pause of pausesBetween(own)) expect(pause).toBeGreaterThan(0)
    }
  })

  test('processes do not wait for each other if the result cannot be kept', async () => {
    const fleet = started()
    const processes = await fleet.processes(maxSize)
    const load = { ms: 1_000, returnsNothing: true }
    let round = 0
    // The first load is a single one. On a slow machine, others may begin after what it left behind has expired.
    await waitUntil('processes load at the same time', async () => {
      const key = `nothing ${++round}`
      const request = { key, options: { ttl: '1m' }, load, calls: 5 }
      expect(valuesOf(await rememberInAll(processes, request))).toEqual(new Set([undefined]))
      return mostAtOnce(fleet.origin.loadsOf(key)) >= Math.max(2, maxSize / 2)
    })
  })
}
