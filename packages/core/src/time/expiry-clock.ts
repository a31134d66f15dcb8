import type { Clock } from './clock.ts'

/** The cached time is used only for entries that expire at least this much later. */
const minRemainingMs = 1_000
/** One in this many checks reads the clock. A power of two, so that a bit mask can replace the division. */
const checksPerRead = 64

/** The clock of the system, unless a test has replaced it: then the time may change within a turn. */
const systemDate = Date

/**
 * Computes when a ttl ends, and whether that time has passed. Reading the system clock costs as much as the rest of a
 * hit, so its time can be cached for about one turn of the event loop, for at most 64 checks, and only for entries that
 * have more than a second left. When a ttl begins is always read: a lock must not end early.
 *
 * @example
 * const clock = new ExpiryClock(systemClock, true)
 * const end = clock.expiresAt(60_000)
 * console.log(clock.isPast(end)) // false
 */
export class ExpiryClock {
  readonly #clock: Pick<Clock, 'now'>
  readonly #cachesTime: boolean
  /** `Infinity` when no time is cached. */
  #cachedNow = Infinity
  #checks = 0
  readonly #dropCachedNow = (): void => {
    this.#cachedNow = Infinity
  }

  /** @param cachesTime only for the clock of the system: a manual clock may advance within a turn */
  constructor(clock: Pick<Clock, 'now'>, cachesTime: boolean) {
    this.#clock = clock
    this.#cachesTime = cachesTime
  }

  /** When a ttl that begins now ends, in epoch milliseconds; `Infinity` without a ttl. */
  expiresAt(ttl: number | undefined): number {
    return ttl === undefined ? Infinity : this.#clock.now() + ttl
  }

  /** The ttl that ends at `time`; `undefined` for none. */
  ttlUntil(time: number): number | undefined {
    return time === Infinity ? undefined : Math.max(1, time - this.#clock.now())
  }

  /** Whether `time` has been reached. */
  isPast(time: number): boolean {
    const mayUseCached = time - this.#cachedNow > minRemainingMs
    if (mayUseCached && (++this.#checks & (checksPerRead - 1)) !== 0) return false
    return time !== Infinity && time <= this.#readClock()
  }

  #readClock(): number {
    const now = this.#clock.now()
    if (this.#cachesTime && Date === systemDate) {
      if (this.#cachedNow === Infinity) setTimeout(this.#dropCachedNow, 1).unref()
      this.#cachedNow = now
    }
    return now
  }
}
