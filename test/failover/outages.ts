import { setTimeout as sleep } from 'node:timers/promises'
import { Stalls } from '@stowage/test-servers'
import { expect } from 'vitest'
import { machineTime } from '../remember/processes/machine-time.mjs'
import { type Backend, backends, deadlineMs, type StoreJob } from './backends.ts'
import { Fleet, type Log } from './processes/fleet.mjs'
import { durationsIn, findProblems, rateOf } from './processes/judge.mjs'

/** The return of a store to all processes alone may take more than a minute on a slow machine. */
const returnMs = 100_000
/** Of a test: for several attempts. A module that files share cannot set it for each of them. */
export const timeout = 900_000

const processes = 4
const outageMs = 3_000
/** The ticks of a deadline may be late by a few milliseconds each, for which the process counts as running. */
const slackMs = 500
/** Within which processes must notice the return of a store, so that a machine may stop them for a while. */
const settleMs = 6_000
/** A process that was stopped for longer may notice it too late, so that the attempt does not count. */
const maxStallMs = 1_000
/**
 * The shortest outage that a process notices although it was stopped meanwhile. One that has hardly seen an outage goes on
 * reading the store, in which the changes that others have made in their fallback stores are missing until they return.
 */
export const shortOutageMs: number = 2 * maxStallMs
const maxAttempts = 6
/** Calls that are too late are left out. */
const minRateShare = 0.5
export const memory: StoreJob = { driver: 'memory', options: { maxEntries: 100_000 } }

export interface Run {
  readonly backend: keyof typeof backends
  /** Memory by default, of which each process has its own. */
  readonly fallback?: StoreJob
  /** @default 100 000 */
  readonly journal?: number
}

export interface Disturbed {
  readonly backend: Backend
  /** Waits until all processes use the primary store only. @throws NotReturned */
  untilReturned(): Promise<void>
}

/**
 * Lets processes make calls while `disturb` runs, and afterwards until all of them have returned. Expects that all calls
 * succeeded that can be repeated, and that no read returned what had been replaced. Repeats the attempt if the machine has
 * stopped a process for a large part of `settle`, or the server is too slow for the deadline: processes leave it again then,
 * and some never return.
 */
export async function run(
  setup: Run,
  disturb: (disturbed: Disturbed) => Promise<void>,
): Promise<readonly Log[]> {
  for (let attempts = 1; ; attempts++) {
    const { logs, stallMs, perSecond, outages, notReturned } = await attempt(setup, disturb)
    const alone = leftAlone(logs, outages)
    const isTooSlow = notReturned !== undefined && logs.some(isStarved)
    const isTooBusy = stallMs > maxStallMs || alone.length > 0 || isTooSlow
    if (isTooBusy && attempts < maxAttempts) continue
    expect(alone, 'The machine is too busy for the server to reply within the deadline').toEqual([])
    expect(stallMs, 'The machine stops processes for too long for this test').toBeLessThan(
      maxStallMs,
    )
    if (notReturned !== undefined) throw notReturned
    const isSharedFallback = (setup.fallback ?? memory).driver !== 'memory'
    const stops = `the machine stopped a process for ${Math.round(stallMs)} ms at most`
    expect(findProblems(logs, { isSharedFallback }), stops).toEqual([])
    expectOutage(logs)
    expect(rateOf(logs)).toBeGreaterThan(minRateShare * perSecond)
    return logs
  }
}

async function attempt(
  { backend: name, fallback = memory, journal = 100_000 }: Run,
  disturb: (disturbed: Disturbed) => Promise<void>,
) {
  const backend = await backends[name]()
  const { job: primary, env } = backend
  const job = {
    perSecond: backend.perSecond / processes,
    primary,
    fallback,
    failoverOptions: { journal, settle: settleMs },
  }
  const fleet = await Fleet.start(processes, job, env)
  try {
    await fleet.all('start')
    const stalls = new Stalls()
    await sleep(1_000)
    const disturbed = { backend, untilReturned: () => untilReturned(fleet) }
    let notReturned: NotReturned | undefined
    try {
      await disturb(disturbed)
      await disturbed.untilReturned()
    } catch (error) {
      if (!(error instanceof NotReturned)) throw error
      notReturned = error
    }
    await sleep(1_000)
    const ownStallMs = stalls.maxMs
    const logs: Log[] = await fleet.all('stop')
    stalls.stop()
    const stallMs = Math.max(ownStallMs, ...logs.map((log) => log.stallMs))
    const { perSecond, outages } = backend
    return { logs, stallMs, perSecond, outages, notReturned }
  } finally {
    fleet.stop()
    await backend.stop()
  }
}

/** Some processes still use their fallback store. */
class NotReturned extends Error {}

async function untilReturned(fleet: Fleet): Promise<void> {
  const endsAt = performance.now() + returnMs
  while (true) {
    const phases: string[] = await fleet.all('phase')
    if (phases.every((phase) => phase === 'primary')) return
    if (performance.now() > endsAt) throw new NotReturned(`Their phases are ${phases.join()}`)
    await sleep(100)
  }
}

/** Resets all connections, and refuses new ones for a while. */
export async function refuse({ proxy, outages }: Backend, ms = outageMs): Promise<void> {
  const begin = machineTime()
  proxy.refuse(true)
  proxy.cut()
  await sleep(ms)
  proxy.refuse(false)
  outages.push([begin, machineTime()])
}

/** Delivers nothing for a while. What was sent until then arrives late. */
export async function mute({ proxy, outages }: Backend, ms = outageMs): Promise<void> {
  const begin = machineTime()
  proxy.mute(true)
  await sleep(ms)
  proxy.mute(false)
  outages.push([begin, machineTime()])
}

/**
 * When processes left the primary store without an outage, because it was too slow for their deadline. The others do not
 * notice that, and read the store, in which the changes are missing that those have made in their fallback stores.
 */
function leftAlone(logs: readonly Log[], outages: Backend['outages']): number[] {
  const times = logs.flatMap(({ phases }) =>
    phases.flatMap(([phase, time]) => (phase === 'fallback' ? [time] : [])),
  )
  // Calls that have failed are noticed at their deadline.
  return times.filter(
    (time) => !outages.some(([begin, end]) => time >= begin && time <= end + 2 * deadlineMs),
  )
}

/** Whether a process could not run for most of the time. */
function isStarved({ stoppedMs, runningMs }: Log): boolean {
  return stoppedMs > runningMs
}

function expectOutage(logs: readonly Log[]): void {
  for (const { phases } of logs) expect(phases.map(([phase]) => phase)).toContain('fallback')
}

/**
 * Expects that calls which cannot fail do not wait for the primary store while its breaker is open, and until then for a few
 * deadlines at most: one for each round trip.
 */
export function expectLatency(logs: readonly Log[]): void {
  const away = durationsIn(logs, 'fallback')
  expect(away.length).toBeGreaterThan(100)
  // A machine that stops a process does so during a few calls only, because they do not wait for anything.
  expect(away[Math.floor(away.length / 2)]).toBeLessThan(deadlineMs / 10)
  for (const log of logs) {
    const longest = durationsIn([log]).at(-1)
    expect(longest).toBeLessThan(3 * deadlineMs + slackMs + log.stoppedMs)
  }
}
