import type { Clock } from './clock.ts'

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

function monotonicOf(clock: Clock): number {
  return clock.monotonic === undefined ? performance.now() : clock.monotonic()
}
