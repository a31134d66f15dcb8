import type { Load } from '../processes/origin.mjs'
import type { Outcome, RememberRequest, WorkerProcess } from '../processes/worker-process.mjs'

/** The same calls in all processes at the same time. */
export async function rememberInAll(
  processes: readonly WorkerProcess[],
  request: RememberRequest,
): Promise<Outcome[]> {
  return (await Promise.all(processes.map((each) => each.remember(request)))).flat()
}

/** One call in one process. */
export async function rememberOnce(
  worker: WorkerProcess,
  request: RememberRequest,
): Promise<Outcome> {
  const [outcome] = await worker.remember(request)
  return outcome as Outcome
}

export function valuesOf(outcomes: readonly Outcome[]): Set<unknown> {
  return new Set(outcomes.map(({ value, error }) => error ?? value))
}

/** Milliseconds for which the processes ran. @param quantile from 0 to 1 */
export function percentile(outcomes: readonly Outcome[], quantile: number): number {
  const sorted = outcomes.map(({ ms }) => ms).sort((a, b) => a - b)
  return sorted[Math.ceil(quantile * sorted.length) - 1] as number
}

/** From the end of a load to the start of the next one. Negative if they overlap. */
function pauseBetween(load: Load | undefined, next: Load | undefined): number {
  return (next?.startedAt ?? Number.NaN) - (load?.endedAt ?? Number.NaN)
}

export function pausesBetween(loads: readonly Load[]): number[] {
  const sorted = [...loads].sort((a, b) => a.startedAt - b.startedAt)
  return sorted.slice(1).map((load, index) => pauseBetween(sorted[index], load))
}

/** How many of these loads were in progress at the same time. */
export function mostAtOnce(loads: readonly Load[]): number {
  const isIn = ({ startedAt, endedAt = Infinity }: Load, time: number) =>
    startedAt <= time && time < endedAt
  return Math.max(
    ...loads.map(({ startedAt }) => loads.filter((each) => isIn(each, startedAt)).length),
  )
}
