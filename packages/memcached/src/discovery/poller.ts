import type { Clock } from '@stowage/core'

/** The result of a poll. */
export type PollOutcome = 'changed' | 'unchanged' | 'failed'

export interface PollerOptions {
  readonly pollIntervalMs: number
  readonly clock: Clock
  /** Returns a number from 0 to 1. */
  readonly random: () => number
}

/** From the end of a poll to an early poll, in milliseconds. */
const earlyPollMs = 1_000
/** After this many polls without news, early polls become less frequent. */
const maxEarlyPolls = 30
const slowEarlyPollMs = 10_000

/** Repeats a poll at an interval, one at a time, and earlier after a failure or a call of `pollSoon`. */
export class Poller {
  readonly #poll: () => Promise<PollOutcome>
  readonly #options: PollerOptions
  #inFlight: Promise<void> | undefined
  #pause = new AbortController()
  #endedAt = -Infinity
  #isEarly = false
  /** Polls in a row that failed, or that were early and found no change. */
  #pollsWithoutNews = 0
  #isClosed = false

  /** @param poll must not reject */
  constructor(poll: () => Promise<PollOutcome>, options: PollerOptions) {
    this.#poll = poll
    this.#options = options
  }

  /** Polls now, or joins the poll in flight. Starts the interval. */
  pollNow(): Promise<void> {
    this.#inFlight ??= this.#run()
    return this.#inFlight
  }

  /** Polls early: at once if the last poll ended more than a second ago, otherwise one second after its end. */
  pollSoon(): void {
    if (this.#isEarly || this.#isClosed) return
    this.#isEarly = true
    this.#schedule()
  }

  /** Stops the interval. Resolves when no poll is in flight. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#pause.abort()
    await this.#inFlight
  }

  async #run(): Promise<void> {
    const wasEarly = this.#isEarly
    this.#isEarly = false
    const outcome = await this.#poll()
    if (outcome === 'failed') this.#isEarly = true
    const hasNoNews = outcome === 'failed' || (wasEarly && outcome === 'unchanged')
    this.#pollsWithoutNews = hasNoNews ? this.#pollsWithoutNews + 1 : 0
    this.#endedAt = this.#options.clock.now()
    this.#inFlight = undefined
    if (!this.#isClosed) this.#schedule()
  }

  #schedule(): void {
    this.#pause.abort()
    this.#pause = new AbortController()
    this.#options.clock.sleep(this.#pauseMs(), this.#pause.signal).then(
      () => void this.pollNow(),
      () => {},
    )
  }

  #pauseMs(): number {
    const { pollIntervalMs, clock, random } = this.#options
    // The jitter spreads the queries of many processes.
    if (!this.#isEarly) return pollIntervalMs * (0.9 + 0.2 * random())
    const minPauseMs = this.#pollsWithoutNews < maxEarlyPolls ? earlyPollMs : slowEarlyPollMs
    return Math.min(pollIntervalMs, Math.max(0, this.#endedAt + minPauseMs - clock.now()))
  }
}
