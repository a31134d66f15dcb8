import { setTimeout as sleep } from 'node:timers/promises'

const baseDelayMs = 25
const maxDelayMs = 1_000

/**
 * Waits a random time before a retry, up to a limit that doubles with each failure: clients that were throttled together
 * must not retry together.
 * @see https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
 * @returns false, without a wait, if the deadline would pass
 */
export async function waitBeforeRetry(failures: number, deadline: number): Promise<boolean> {
  const delayMs = Math.random() * Math.min(maxDelayMs, baseDelayMs * 2 ** failures)
  if (performance.now() + delayMs >= deadline) return false
  await sleep(delayMs)
  return true
}
