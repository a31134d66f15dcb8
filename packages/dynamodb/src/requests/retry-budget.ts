import { setTimeout as sleep } from 'node:timers/promises'

const baseDelayMs = 25
const maxDelayMs = 1_000

/** Retries that may be made at once, for example after a whole batch of calls was throttled. */
const capacity = 100
const refillPerSecond = 10
const refillPerSuccess = 0.2

/** With less time left, a retry or a request that had to wait is not sent: it could not get a reply. */
export const minRequestMs = 20

/**
 * When to retry. A call uses the time until its deadline, with random delays up to a limit that doubles: clients that were
 * throttled together must not retry together. All calls share a budget, so that retries cannot multiply the load while the
 * server rejects most requests.
 * @see https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
 */
export class RetryBudget {
  #retries = capacity
  #refilledAt = performance.now()

  /** Adds to the budget, which the next retry limits. A retry that succeeded costs nothing. */
  succeeded(isRetry: boolean): void {
    this.#retries += isRetry ? 1 : refillPerSuccess
  }

  /**
   * Waits before a retry.
   * @returns false if less than `minRequestMs` would be left until the deadline, or if the budget is used up
   */
  async wait(failures: number, deadline: number): Promise<boolean> {
    return this.#take() && delayed(failures, deadline)
  }

  /** Waits before a request for the rest of a batch, which is not limited: the server has processed a part of it. */
  async waitForRest(deadline: number): Promise<boolean> {
    return delayed(1, deadline)
  }

  #take(): boolean {
    const now = performance.now()
    const refill = ((now - this.#refilledAt) / 1_000) * refillPerSecond
    this.#retries = Math.min(capacity, this.#retries + refill)
    this.#refilledAt = now
    if (this.#retries < 1) return false
    this.#retries--
    return true
  }
}

async function delayed(failures: number, deadline: number): Promise<boolean> {
  const delayMs = Math.random() * Math.min(maxDelayMs, baseDelayMs * 2 ** failures)
  const latest = deadline - minRequestMs
  if (performance.now() + delayMs >= latest) return false
  await sleep(delayMs)
  return performance.now() < latest
}
