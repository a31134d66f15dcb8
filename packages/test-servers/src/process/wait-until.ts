import { setTimeout as sleep } from 'node:timers/promises'

const timeoutMs = 30_000

/**
 * Calls `check` until it resolves to a truthy value, and resolves to that value. A check that rejects is repeated as
 * well. On timeout the last rejection is the `cause` of the error.
 */
export async function waitUntil<T>(
  description: string,
  check: () => Promise<T | false | undefined>,
): Promise<T> {
  const deadline = Date.now() + timeoutMs
  let cause: unknown
  while (Date.now() < deadline) {
    try {
      const value = await check()
      if (value) return value
    } catch (error) {
      cause = error
    }
    await sleep(20)
  }
  throw new Error(`Timed out after ${timeoutMs} ms waiting until ${description}`, { cause })
}

/** Whether `predicate` resolves to `true` for each item. The items are checked concurrently. */
export async function everyAsync<T>(
  items: readonly T[],
  predicate: (item: T) => Promise<boolean>,
): Promise<boolean> {
  return (await Promise.all(items.map(predicate))).every(Boolean)
}
