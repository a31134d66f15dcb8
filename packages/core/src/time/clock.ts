import { setTimeout as delay } from 'node:timers/promises'

/** Source of the current time. Tests pass a manual clock. */
export interface Clock {
  /** Epoch milliseconds. */
  now(): number
  /**
   * Milliseconds since an arbitrary moment, on a clock that is never set. Intervals are measured with it.
   * @default performance.now()
   */
  monotonic?(): number
  /** Resolves after `ms` milliseconds, or rejects with the signal's reason once it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** The clock of the system. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) => delay(ms, undefined, signal && { signal }),
}
