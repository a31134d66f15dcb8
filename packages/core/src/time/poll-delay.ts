/** The share of the time waited so far after which a poll is repeated. */
const pollShare = 0.1
const minPollMs = 2
const pollJitter = 0.25

/** How long to wait until the next poll: the longer the wait has taken, the longer. At most `maxMs`, plus 25 %. */
export function pollDelay(waitedMs: number, maxMs: number): number {
  const base = Math.min(maxMs, Math.max(minPollMs, waitedMs * pollShare))
  return base * (1 - pollJitter + 2 * pollJitter * Math.random())
}
