import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Clock } from '@stowage/core'
import { allowShortTtls } from '@stowage/core/internal'

interface Sleeper {
  /** Epoch milliseconds. */
  readonly wakeAt: number
  readonly wake: () => void
}

/**
 * A clock that stands still until `advance` moves it. A test of a ten-minute ttl takes no time and is exact to the
 * millisecond.
 *
 * @example
 * const clock = new ManualClock()
 * const greetings = new Cache(memory({ clock }), { clock })
 * await greetings.set('en', 'hello', { ttl: '10m' })
 * await clock.advance(600_000)
 * console.log(await greetings.get('en')) // undefined
 */
export class ManualClock implements Clock {
  #now: number
  #sleepers: Sleeper[] = []

  /** @param start initial time in epoch milliseconds, by default the start of 2026 in UTC */
  constructor(start: number = Date.UTC(2026, 0, 1)) {
    this.#now = start
    allowShortTtls()
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  /** Number of calls of `sleep` that have not resolved yet. */
  get sleeping(): number {
    return this.#sleepers.length
  }

  /**
   * Resolves when the clock has been advanced by `ms` milliseconds, and immediately for zero or less. Rejects with the
   * reason of `signal` when that aborts first.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (ms <= 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#remove(sleeper)
        reject(signal?.reason)
      }
      const wake = () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }
      const sleeper = { wakeAt: this.#now + ms, wake }
      this.#sleepers.push(sleeper)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /**
   * Moves the clock forward by `ms` milliseconds. Sleeps that end in that time resolve in order, including those that
   * start meanwhile; `now()` is the end of each one when it resolves. After each one the event loop turns once, so that
   * the code that awaited it runs before the next one resolves.
   *
   * @throws RangeError if `ms` is negative or `NaN`
   */
  async advance(ms: number): Promise<void> {
    if (!(ms >= 0)) throw new RangeError(`advance(ms): ms must be zero or more, not ${ms}.`)
    const end = this.#now + ms
    await nextTurn()
    for (let next = this.#nextDue(end); next !== undefined; next = this.#nextDue(end)) {
      this.#remove(next)
      this.#now = Math.max(this.#now, next.wakeAt)
      next.wake()
      await nextTurn()
    }
    this.#now = Math.max(this.#now, end)
    await nextTurn()
  }

  /** The first sleeper that wakes no later than `end`. */
  #nextDue(end: number): Sleeper | undefined {
    let earliest: Sleeper | undefined
    for (const sleeper of this.#sleepers) {
      if (sleeper.wakeAt <= end && (earliest === undefined || sleeper.wakeAt < earliest.wakeAt)) {
        earliest = sleeper
      }
    }
    return earliest
  }

  #remove(sleeper: Sleeper): void {
    this.#sleepers = this.#sleepers.filter((other) => other !== sleeper)
  }
}
