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

/**
 * A moment from which an interval is measured. The interval ends as soon as one of two clocks says so: the clock of the
 * system may be set back, and a monotonic clock may stand still while the machine is suspended.
 */
export class Moment {
  readonly #clock: Clock
  readonly #now: number
  readonly #monotonic: number

  /** The current moment. */
  constructor(clock: Clock) {
    this.#clock = clock
    this.#now = clock.now()
    this.#monotonic = monotonicOf(clock)
  }

  /** Whether less than `ms` milliseconds have passed since then. */
  isWithin(ms: number): boolean {
    const age = this.#clock.now() - this.#now
    return age >= 0 && age < ms && monotonicOf(this.#clock) - this.#monotonic < ms
  }
}

/** Milliseconds since an arbitrary moment, on a clock that is never set. */
export function monotonicOf(clock: Clock): number {
  return clock.monotonic === undefined ? performance.now() : clock.monotonic()
}

/** If the clock of the system gains more on the monotonic one, the machine was suspended, or the clock was set. */
const maxGainMs = 250

/**
 * Returns a function that returns the milliseconds since an arbitrary moment, including the time during which the machine was
 * suspended: then the monotonic clock stands still. A clock that is set forward counts as well, because the two cannot be
 * distinguished; one that is set back does not.
 */
export function elapsedTimeOf(clock: Clock): () => number {
  let offset = clock.now() - monotonicOf(clock)
  let suspendedMs = 0
  return () => {
    const monotonic = monotonicOf(clock)
    const gain = clock.now() - monotonic - offset
    if (gain > maxGainMs || gain < -maxGainMs) {
      offset += gain
      suspendedMs += Math.max(0, gain)
    }
    return monotonic + suspendedMs
  }
}
