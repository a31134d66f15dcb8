import { setTimeout as sleep } from 'node:timers/promises'
import { Stalls } from '@stowage/test-servers'
import { expect, type TestContext, vi } from 'vitest'
import { type Backend, backends, deadlineMs, type StoreJob } from './backends.ts'
import { Fleet, type Log } from './processes/fleet.mjs'
import { durationsIn, findProblems, rateOf } from './processes/judge.mjs'

// The return of a store to all processes alone may take more than a minute on a slow machine.
vi.setConfig({ testTimeout: 400_000 })

const processes = 4
const outageMs = 3_000
/** For a machine that is busy with other tests. */
const slackMs = 500
/** Half of `settle`, within which processes must notice the return of a store. */
const maxStallMs = 1_000
/** A share of the rate that a slow machine reaches as well. */
const minRateShare = 0.5
export const memory: StoreJob = { driver: 'memory', options: { maxEntries: 100_000 } }

export interface Run {
  readonly backend: keyof typeof backends
  /** Memory by default, of which each process has its own. */
  readonly spare?: StoreJob
  /** @default 100 000 */
  readonly journal?: number
  /** Skips the test if the machine was too busy. */
  readonly skip: TestContext['skip']
}

export interface Disturbed {
  readonly backend: Backend
  /** Waits until all processes use the primary store only. */
  untilReturned(): Promise<void>
}

/**
 * Lets processes make calls while `disturb` runs, and afterwards until all of them have returned. Expects that all calls
 * succeeded that can be repeated, and that no read returned what had been replaced. A process that the machine has stopped
 * for a large part of `settle` may notice the return of a store too late, so that the test is skipped.
 */
export async function run(
  { backend: name, spare = memory, journal = 100_000, skip }: Run,
  disturb: (disturbed: Disturbed) => Promise<void>,
): Promise<readonly Log[]> {
  const backend = await backends[name]()
  const { job: primary, env } = backend
  const perSecond = backend.perSecond / processes
  const job = { perSecond, primary, spare, failoverOptions: { journal } }
  const fleet = await Fleet.start(processes, job, env)
  try {
    await fleet.all('start')
    const stalls = new Stalls()
    await sleep(1_000)
    const disturbed = { backend, untilReturned: () => untilReturned(fleet) }
    await disturb(disturbed)
    await disturbed.untilReturned()
    await sleep(1_000)
    const ownStallMs = stalls.maxMs
    const logs: Log[] = await fleet.all('stop')
    const stallMs = Math.max(ownStallMs, ...logs.map((log) => log.stallMs))
    if (stallMs > maxStallMs)
      skip(`The machine has stopped a process for ${Math.round(stallMs)} ms.`)
    expect(findProblems(logs, { isSharedSpare: spare.driver !== 'memory' })).toEqual([])
    expectOutage(logs)
    expect(rateOf(logs)).toBeGreaterThan(minRateShare * backend.perSecond)
    return logs
  } finally {
    fleet.stop()
    await backend.stop()
  }
}

async function untilReturned(fleet: Fleet): Promise<void> {
  await expect
    .poll(() => fleet.all('phase'), { timeout: 150_000, interval: 100 })
    .toEqual(Array(processes).fill('primary'))
}

/** Resets all connections, and refuses new ones for a while. */
export async function refuse({ proxy }: Backend, ms = outageMs): Promise<void> {
  proxy.refuse(true)
  proxy.cut()
  await sleep(ms)
  proxy.refuse(false)
}

/** Delivers nothing for a while. What was sent until then arrives late. */
export async function mute({ proxy }: Backend, ms = outageMs): Promise<void> {
  proxy.mute(true)
  await sleep(ms)
  proxy.mute(false)
}

function expectOutage(logs: readonly Log[]): void {
  for (const { phases } of logs) expect(phases.map(([phase]) => phase)).toContain('spare')
}

/**
 * Expects that calls which cannot fail do not wait for the primary store while its breaker is open, and until then for a few
 * deadlines at most: one for each round trip.
 */
export function expectLatency(logs: readonly Log[]): void {
  const away = durationsIn(logs, 'spare')
  expect(away.length).toBeGreaterThan(100)
  expect(away[Math.floor(away.length / 2)]).toBeLessThan(1)
  const all = durationsIn(logs)
  // A busy machine may stop a process for longer.
  expect(all[Math.floor(0.999 * all.length)]).toBeLessThan(3 * deadlineMs + slackMs)
}
