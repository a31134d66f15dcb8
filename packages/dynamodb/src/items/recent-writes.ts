import type { Clock } from '@stowage/core'

/** A key counts as recently written for one to two windows. Replicas are usually up to date within a second. */
const windowMs = 2_000
const tokenPattern = /^[0-9a-z]{1,10}$/

/**
 * The keys written in the last seconds, in two sets: each window starts a new set and drops the older one as a whole. A
 * token is the time of the last write, by the clock of the writer. A process that observes a token treats every key as
 * recently written until that write is two windows old.
 */
export class RecentWrites {
  readonly #clock: Pick<Clock, 'now'>
  readonly #isTimeKnown: () => boolean
  #current = new Set<string>()
  #previous = new Set<string>()
  #windowStart = 0
  #lastWrite = 0
  /** The time of the latest observed token that is not in `#allRecentUntil` yet. */
  #observedWrite = 0
  #allRecentUntil = 0

  /** @param isTimeKnown whether the clock shows the same time as those of other processes */
  constructor(clock: Pick<Clock, 'now'>, isTimeKnown: () => boolean) {
    this.#clock = clock
    this.#isTimeKnown = isTimeKnown
  }

  /** Stands for every write so far; empty before the first one. */
  get token(): string {
    return this.#lastWrite === 0 ? '' : this.#lastWrite.toString(36)
  }

  /** Ignores strings that are not tokens of this backend. */
  observe(token: string): void {
    if (!tokenPattern.test(token)) return
    this.#observedWrite = Math.max(this.#observedWrite, Number.parseInt(token, 36))
  }

  add(keys: readonly string[]): void {
    this.#lastWrite = this.#advanceWindow()
    for (const key of keys) this.#current.add(key)
  }

  hasAny(keys: readonly string[]): boolean {
    const now = this.#advanceWindow()
    if (this.#observedWrite > 0) {
      // A clock that is not known yet cannot tell how old the write is.
      if (!this.#isTimeKnown()) return true
      // The writer's clock may be ahead. The second window allows for a clock that is behind.
      const writtenAt = Math.min(this.#observedWrite, now)
      this.#allRecentUntil = Math.max(this.#allRecentUntil, writtenAt + 2 * windowMs)
      this.#observedWrite = 0
    }
    if (now < this.#allRecentUntil) return true
    return keys.some((key) => this.#current.has(key) || this.#previous.has(key))
  }

  /** Starts a new window when the current one is over. Returns the time. */
  #advanceWindow(): number {
    const now = this.#clock.now()
    const age = now - this.#windowStart
    if (age >= 0 && age < windowMs) return now
    this.#previous = age < 2 * windowMs ? this.#current : new Set()
    this.#current = new Set()
    this.#windowStart = now
    return now
  }
}
