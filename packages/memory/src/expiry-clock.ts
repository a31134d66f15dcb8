import { type Clock, systemClock } from '@stowage/core'

/** Entries with more than this left may rely on a cached time. */
const minRemainingMs = 1_000
/** Reads that may use a cached time before it is refreshed: a power of two, minus one. */
const readsMask = 63

/**
 * Computes when a ttl ends, and whether a time has passed. Reading the system clock costs as much as the rest of a hit,
 * so the time is cached for the current turn of the event loop and at most 64 reads, and used only for entries that had
 * more than a second left. Any other clock (such as a manual one) is read every time.
 */
export class ExpiryClock {
  readonly #clock: Clock
  /** `Infinity` when no time is cached. */
  #cachedNow = Infinity
  #reads = 0
  readonly #clearCache = (): void => {
    this.#cachedNow = Infinity
  }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** When a ttl that begins now ends, in epoch milliseconds; `Infinity` without a ttl. */
  expiresAt(ttl: number | undefined): number {
    return ttl === undefined ? Infinity : this.#clock.now() + ttl
  }

  isPast(time: number): boolean {
    if (time - this.#cachedNow > minRemainingMs && (++this.#reads & readsMask) !== 0) return false
    return time !== Infinity && time <= this.#readClock()
  }

  #readClock(): number {
    const now = this.#clock.now()
    if (this.#clock === systemClock) {
      if (this.#cachedNow === Infinity) setTimeout(this.#clearCache, 1).unref()
      this.#cachedNow = now
    }
    return now
  }
}
