import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '@stowage/core'

interface Sleeper {
  readonly at: number
  readonly wake: () => void
}

/**
 * A clock that stands still until `advance` moves it, so that a test of a ten-minute ttl takes no time
 * and hits the millisecond it means.
 */
export class ManualClock implements Clock {
  #now: number
  #sleepers: Sleeper[] = []

  /** @param start epoch milliseconds at which the clock stands, 2026-01-01 by default */
  constructor(start: number = Date.UTC(2026, 0, 1)) {
    this.#now = start
  }

  now(): number {
    return this.#now
  }

  /** How many sleepers are waiting to be woken. */
  get sleeping(): number {
    return this.#sleepers.length
  }

  /** Resolves when the clock has been advanced by `ms`; at once for 0 or less. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (ms <= 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#drop(sleeper)
        reject(signal?.reason)
      }
      const wake = () => {
        signal?.removeEventListener('abort', abort)
        resolve()
      }
      const sleeper = { at: this.#now + ms, wake }
      this.#sleepers.push(sleeper)
      signal?.addEventListener('abort', abort, { once: true })
    })
  }

  /**
   * Moves the clock on and wakes whoever is due, the earliest first and each at its own time, those
   * included who fall asleep on the way. What a woken sleeper does next is done before the next one wakes.
   */
  async advance(ms: number): Promise<void> {
    if (!(ms >= 0)) throw new RangeError(`A clock goes forward only, not by ${ms} ms.`)
    const end = this.#now + ms
    await turn()
    for (let next = this.#dueBy(end); next !== undefined; next = this.#dueBy(end)) {
      this.#drop(next)
      this.#now = Math.max(this.#now, next.at)
      next.wake()
      await turn()
    }
    this.#now = Math.max(this.#now, end)
    await turn()
  }

  #dueBy(end: number): Sleeper | undefined {
    let earliest: Sleeper | undefined
    for (const sleeper of this.#sleepers) {
      if (sleeper.at <= end && (earliest === undefined || sleeper.at < earliest.at)) {
        earliest = sleeper
      }
    }
    return earliest
  }

  #drop(sleeper: Sleeper): void {
    this.#sleepers = this.#sleepers.filter((each) => each !== sleeper)
  }
}
