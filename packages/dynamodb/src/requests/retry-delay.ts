import { setTimeout as sleep } from 'node:timers/promises'

const baseMs = 25
const mostMs = 1_000

/**
 * Pauses before another attempt, up to twice as long after each failure, and as random as can be: clients that were
 * refused together must not come back together.
 * @see https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
 * @returns whether there is time for another attempt
 */
export async function backOff(failures: number, deadline: number): Promise<boolean> {
  const pause = Math.random() * Math.min(mostMs, baseMs * 2 ** failures)
  if (performance.now() + pause >= deadline) return false
  await sleep(pause)
  return true
}
