import { setTimeout as delay } from 'node:timers/promises'
import { type Clock, systemClock } from './clock.ts'

/** The longest delay of a timer, in milliseconds: `setTimeout` fires immediately for a longer one. */
export const maxTimerMs: number = 2 ** 31 - 1

/**
 * Resolves after `ms` milliseconds of real time. A clock of a cache may be a manual one: it determines when values expire,
 * but other processes do not wait for it.
 */
export function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.min(ms, maxTimerMs)))
}

/**
 * Calls `run` after `ms` milliseconds. Returns a function that cancels it. The timer keeps the process alive only if `ref` is
 * true.
 */
export function after(ms: number, run: () => void, ref = false): () => void {
  const timer = setTimeout(run, Math.min(ms, maxTimerMs))
  if (!ref) timer.unref()
  return () => clearTimeout(timer)
}

/** Like `clock.sleep`, but does not keep the process alive. */
export function waitInBackground(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (clock !== systemClock) return clock.sleep(ms, signal)
  return delay(Math.min(ms, maxTimerMs), undefined, { signal, ref: false })
}

/** The share of the time waited so far after which a poll is repeated. */
const pollShare = 0.1
const minPollMs = 2
const pollJitter = 0.25

/** How long to wait until the next poll: the longer the wait has taken, the longer. At most `maxMs`, plus 25 %. */
export function pollDelay(waitedMs: number, maxMs: number): number {
  const base = Math.min(maxMs, Math.max(minPollMs, waitedMs * pollShare))
  return base * (1 - pollJitter + 2 * pollJitter * Math.random())
}
