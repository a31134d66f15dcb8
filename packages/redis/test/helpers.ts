import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError } from '@stowage/core'
import { command } from '@stowage/test-servers'

/** Waits at most 30 s until `isMet` returns true. `condition` names it in the error. */
export async function waitUntil(condition: string, isMet: () => unknown): Promise<void> {
  const deadline = Date.now() + 30_000
  while (!(await isMet())) {
    if (Date.now() > deadline) throw new Error(`not within 30 s: ${condition}`)
    await sleep(5)
  }
}

/** Repeats the call until it succeeds. Only a `CacheError` is retried. */
export async function waitUntilSucceeds(call: () => unknown): Promise<void> {
  await waitUntil('the call succeeds', async () => {
    try {
      await call()
      return true
    } catch (error) {
      if (!CacheError.is(error)) throw error
      return false
    }
  })
}

/** How many GETs and MGETs the servers have executed. */
export async function countReads(...ports: number[]): Promise<number> {
  const stats = await Promise.all(ports.map((port) => command(port, 'INFO', 'commandstats')))
  const calls = [...stats.join('\n').matchAll(/cmdstat_m?get:calls=(\d+)/g)]
  return calls.reduce((sum, [, count]) => sum + Number(count), 0)
}

/** Whether one of the servers executes a GET or MGET during `read`. */
export async function serve(ports: number[], read: () => unknown): Promise<boolean> {
  const before = await countReads(...ports)
  await read()
  return (await countReads(...ports)) > before
}

/** Repeats `read` until one of the servers executes it. In a failover, Sentinels disconnect all clients, also this one. */
export function waitUntilServed(ports: number[], read: () => unknown): Promise<void> {
  return waitUntil(`${ports} serve the read`, () => serve(ports, read).catch(() => false))
}

/** Waits until all servers have this value under the key. */
export function waitUntilReplicated(
  key: string,
  value: string | null,
  ...ports: number[]
): Promise<void> {
  return waitUntil(`the replicas have ${key}`, async () => {
    const values = await Promise.all(ports.map((port) => command(port, 'GET', key)))
    return values.every((each) => each === value)
  })
}

/** Whether the call succeeds. */
export async function succeeds(call: () => unknown): Promise<boolean> {
  try {
    await call()
    return true
  } catch {
    return false
  }
}
