import type { Awaitable } from '../store.ts'
import type { Clock } from './clock.ts'

/** How long an answer of the backend is carried on by this process. */
const refreshMs = 60_000

/**
 * The time of a backend, which all processes share however far their own clocks are apart. The backend is asked when the
 * time is first needed and once a minute; in between `performance.now()` carries it on. Without a clock of the backend,
 * or while it cannot be reached, the process's own clock serves.
 */
export class BackendTime {
  readonly #ask: (() => Awaitable<number>) | undefined
  readonly #clock: Pick<Clock, 'now'>
  #offset: number | undefined
  #askedAt = 0

  constructor(ask: (() => Awaitable<number>) | undefined, clock: Pick<Clock, 'now'>) {
    this.#ask = ask
    this.#clock = clock
  }

  /** Epoch milliseconds. */
  async now(): Promise<number> {
    if (this.#ask === undefined) return this.#clock.now()
    const now = performance.now()
    if (this.#offset === undefined || now - this.#askedAt > refreshMs)
      await this.#measure(this.#ask)
    return this.#offset === undefined
      ? this.#clock.now()
      : Math.floor(performance.now() + this.#offset)
  }

  async #measure(ask: () => Awaitable<number>): Promise<void> {
    try {
      const time = await ask()
      this.#askedAt = performance.now()
      this.#offset = time - this.#askedAt
    } catch {
      // The last offset, or the clock of the process, is close enough until the backend answers.
    }
  }
}
