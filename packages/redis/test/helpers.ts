import { setTimeout as sleep } from 'node:timers/promises'
import { command } from '@stowage/test-servers'

/** Waits for something that another process does in its own time. */
export async function until(what: string, holds: () => unknown): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within 30 s: ${what}`)
    await sleep(10)
  }
}

/** How many GETs and MGETs the servers have answered. */
export async function readsOf(...ports: number[]): Promise<number> {
  const stats = await Promise.all(ports.map((port) => command(port, 'INFO', 'commandstats')))
  const calls = [...stats.join('\n').matchAll(/cmdstat_m?get:calls=(\d+)/g)]
  return calls.reduce((sum, [, count]) => sum + Number(count), 0)
}

/** Resolves when each of the servers has that value under the key. */
export function replicated(key: string, value: string | null, ...ports: number[]): Promise<void> {
  return until(`the replicas have ${key}`, async () => {
    const seen = await Promise.all(ports.map((port) => command(port, 'GET', key)))
    return seen.every((each) => each === value)
  })
}

/** Whether a call succeeds. */
export async function succeeds(call: () => unknown): Promise<boolean> {
  try {
    await call()
    return true
  } catch {
    return false
  }
}
