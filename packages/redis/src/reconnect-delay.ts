/** A new primary is used this soon after it can be reached, at the latest. */
const longestMs = 150

/** Milliseconds until the next attempt: soon, and never far apart. */
export function backOff(times: number): number {
  return Math.min(10 * 2 ** Math.min(times - 1, 10), longestMs) * (0.5 + Math.random() / 2)
}
