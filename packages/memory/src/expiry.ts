import { type Clock, systemClock } from '@stowage/core'

/** An entry with more life left than this is not asked for the exact time on every read. */
const slackMs = 1_000
/** How many reads may rely on one reading of the clock; a power of two, less one. */
const readsMask = 63

/**
 * Tells when a ttl ends and whether a time has passed. Reading the system clock costs as much as the rest of a hit,
 * so a reading is kept for the current turn of the event loop, 64 questions at most, and serves those entries only
 * that had more than a second left. A clock that is not the system's (a manual one) is read every time.
 */
export class Expiry {
  readonly #clock: Clock
  /** The kept reading; `Infinity` when there is none. */
  #seen = Infinity
  #reads = 0
  readonly #forget = (): void => {
    this.#seen = Infinity
  }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** When a ttl that begins now ends, in epoch milliseconds; never without one. */
  after(ttl: number | undefined): number {
    return ttl === undefined ? Infinity : this.#clock.now() + ttl
  }

  hasPassed(at: number): boolean {
    if (at - this.#seen > slackMs && (++this.#reads & readsMask) !== 0) return false
    return at !== Infinity && at <= this.#now()
  }

  #now(): number {
    const now = this.#clock.now()
    if (this.#clock === systemClock) {
      if (this.#seen === Infinity) setTimeout(this.#forget, 1).unref()
      this.#seen = now
    }
    return now
  }
}
