/** An upper bound on the time until a new primary is used once it is reachable. */
const maxDelayMs = 150

/** Milliseconds before the given attempt (from 1): exponential from 10 ms, with jitter. */
export function reconnectDelay(attempt: number): number {
  return Math.min(10 * 2 ** Math.min(attempt - 1, 10), maxDelayMs) * (0.5 + Math.random() / 2)
}
