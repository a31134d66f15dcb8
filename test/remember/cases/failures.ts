import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Fleet } from '../processes/fleet.mjs'
import { clockToleranceMs, pausesBetween, rememberInAll, slowest, valuesOf } from './measuring.ts'

export function failureTests(started: () => Fleet, maxSize: number): void {
  test('with backoff, a failing load is executed once per second in all processes', async () => {
    const fleet = started()
    const processes = await fleet.processes(4)
    const key = 'failing with backoff'
    const options = { ttl: '1m', backoff: '1s' }
    const end = performance.now() + 2_500 + fleet.backend.ttlSlackMs
    while (performance.now() < end) {
      const request = { key, options, load: { ms: 50, fails: true }, calls: 250 }
      const outcomes = await rememberInAll(processes, request)
      for (const { error } of outcomes) {
        if (error?.code !== 'ERR_CACHE_LOAD') expect(error?.message).toMatch(/^load failed in/)
        else expect(error.retryable).toBe(true)
      }
      await sleep(50)
    }
    const loads = fleet.origin.loadsOf(key)
    expect(loads.length).toBeGreaterThan(1)
    for (const pause of pausesBetween(loads))
      expect(pause).toBeGreaterThan(1_000 - clockToleranceMs)
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
    const loadMs = 1_000
    const request = {
      key: 'nothing',
      options: { ttl: '1m' },
      load: { ms: loadMs, returnsNothing: true },
      calls: 5,
    }
    const outcomes = await rememberInAll(await fleet.processes(maxSize), request)
    expect(valuesOf(outcomes)).toEqual(new Set([undefined]))
    expect(slowest(outcomes)).toBeLessThan(3 * loadMs)
  })
}
