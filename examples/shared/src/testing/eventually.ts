import { setTimeout as sleep } from 'node:timers/promises'

const intervalMs = 25

/**
 * Calls `probe` until it returns a value other than `undefined`. If it throws, it is called again. A busy machine takes more
 * than half a minute to start an application.
 */
export async function eventually<T>(
  probe: () => Promise<T | undefined>,
  timeoutMs = 120_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs
  let lastError: unknown
  while (Date.now() < deadline) {
    try {
      const value = await probe()
      if (value !== undefined) return value
    } catch (error) {
      lastError = error
    }
    await sleep(intervalMs)
  }
  throw new Error(`No value within ${timeoutMs} ms`, { cause: lastError })
}
