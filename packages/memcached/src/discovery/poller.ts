import type { Clock } from '@stowage/core'

/** What a poll came to. */
export type Outcome = 'changed' | 'same' | 'failed'

export interface PollerOptions {
  readonly pollMs: number
  readonly clock: Clock
  /** From 0 to 1. */
  readonly random: () => number
}

/** From the end of a poll to the next, where something is wrong. */
const earlyMs = 1_000
/** As many early polls in a row may find nothing new; those that follow take their time. */
const manyEarly = 30
const lateMs = 10_000

/** Repeats a poll, one at a time: every minute or so, and sooner while something is wrong. */
export class Poller {
  readonly #poll: () => Promise<Outcome>
  readonly #options: PollerOptions
  #underWay: Promise<void> | undefined
  #pause = new AbortController()
  #endedAt = -Infinity
  #hurried = false
  #fruitless = 0
  #closed = false

  /** @param poll is expected not to reject */
  constructor(poll: () => Promise<Outcome>, options: PollerOptions) {
    this.#poll = poll
    this.#options = options
  }

  /** Polls now, or joins the poll under way; from then on it is repeated. */
  now(): Promise<void> {
    this.#underWay ??= this.#run()
    return this.#underWay
  }

  /** Has the next poll come early, at least a second after the last. */
  hurry(): void {
    if (this.#hurried || this.#closed) return
    this.#hurried = true
    if (this.#underWay === undefined) this.#plan()
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.#closed = true
    this.#pause.abort()
    await this.#underWay
  }

  async #run(): Promise<void> {
    this.#pause.abort()
    const early = this.#hurried
    this.#hurried = false
    const outcome = await this.#poll()
    if (outcome === 'failed') this.#hurried = true
    const fruitless = outcome === 'failed' || (early && outcome === 'same')
    this.#fruitless = fruitless ? this.#fruitless + 1 : 0
    this.#endedAt = this.#options.clock.now()
    this.#underWay = undefined
    if (!this.#closed) this.#plan()
  }

  #plan(): void {
    this.#pause.abort()
    this.#pause = new AbortController()
    this.#options.clock.sleep(this.#waitMs(), this.#pause.signal).then(
      () => void this.now(),
      () => {},
    )
  }

  #waitMs(): number {
    const { pollMs, clock, random } = this.#options
    // Spread, so that the processes of a fleet do not ask all at once.
    if (!this.#hurried) return pollMs * (0.9 + 0.2 * random())
    const apart = this.#fruitless < manyEarly ? earlyMs : lateMs
    return Math.min(pollMs, Math.max(0, this.#endedAt + apart - clock.now()))
  }
}
