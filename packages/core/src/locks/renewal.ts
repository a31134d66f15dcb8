import { after } from '../time/wait.ts'
import type { Tenure } from './tenure.ts'

/** The share of the time for which the lock is certainly held, after which it is renewed: a third of its ttl. */
const renewShare = 0.37
/** The share of the ttl after which a renewal that failed is repeated. */
const retryShare = 1 / 12

/**
 * Renews a lock until it is stopped or lost. The lock counts as lost when the backend says so, and shortly before another
 * process could hold it because no renewal has succeeded in time.
 */
export class Renewal {
  readonly #tenure: Tenure
  readonly #onLost: () => void
  #cancelRenewal = () => {}
  #cancelLoss = () => {}
  #isOver = false

  /** @param onLost called once, unless the renewal is stopped before */
  constructor(tenure: Tenure, onLost: () => void) {
    this.#tenure = tenure
    this.#onLost = onLost
    tenure.onRenewal = (isHeld) => {
      if (this.#isOver) return
      if (isHeld) this.#schedule()
      else this.#lose()
    }
    this.#schedule()
  }

  stop(): void {
    this.#isOver = true
    this.#cancelRenewal()
    this.#cancelLoss()
  }

  #schedule(): void {
    const { safeMs } = this.#tenure
    this.#cancelLoss()
    this.#cancelLoss = after(Math.max(0, safeMs), () => this.#lose())
    this.#renewAfter(safeMs * renewShare)
  }

  #renewAfter(ms: number): void {
    this.#cancelRenewal()
    this.#cancelRenewal = after(Math.max(0, ms), () => this.#renew())
  }

  #renew(): void {
    Promise.resolve(this.#tenure.renew()).catch(() => {
      if (!this.#isOver) this.#renewAfter(this.#tenure.facts.ttl * retryShare)
    })
  }

  #lose(): void {
    this.stop()
    this.#onLost()
  }
}
