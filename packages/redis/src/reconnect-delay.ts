/** An upper bound on the time until a new primary is used once it is reachable. */
const maxDelayMs = 150

/** Milliseconds before the given attempt (from 1): exponential from 10 ms, with jitter. */
export function reconnectDelay(attempt: number): number {
  return Math.min(10 * 2 ** Math.min(attempt - 1, 10), maxDelayMs) * (0.5 + Math.random() / 2)
}

const maxReadOnlyDelayMs = 1_000

/**
 * Limits the reconnects while an address leads to a replica, which rejects writes. The delay between two of them grows
 * with the time since the first rejection. Between them the connection stays open, because a replica serves reads.
 */
export class ReadOnlyBackoff {
  #attempts = 0
  #firstAt = 0
  #nextAt = 0

  /** Call it after each rejected write. Returns whether to reconnect now. */
  mayReconnect(): boolean {
    const now = performance.now()
    if (now < this.#nextAt) return false
    // No write was rejected for a while after the last reconnect.
    if (now > this.#nextAt + maxReadOnlyDelayMs) {
      this.#attempts = 0
      this.#firstAt = now
    }
    this.#attempts++
    const shareOfOutage = Math.min((now - this.#firstAt) / 10, maxReadOnlyDelayMs)
    this.#nextAt = now + Math.max(reconnectDelay(this.#attempts), shareOfOutage)
    return true
  }
}
