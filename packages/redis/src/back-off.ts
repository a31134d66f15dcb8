/** Milliseconds until the next attempt: soon, and never far apart. */
export function backOff(times: number): number {
  return Math.min(10 * 2 ** Math.min(times, 10), 250) + Math.random() * 50
}
