import { setTimeout as sleep } from 'node:timers/promises'

/** Asks until the answer is not `undefined`, at most for `within` ms. A failure of `ask` counts as no answer yet. */
export async function eventually<T>(
  ask: () => Promise<T | undefined>,
  within = 30_000,
): Promise<T> {
  const deadline = Date.now() + within
  let failure: unknown
  while (Date.now() < deadline) {
    try {
      const answer = await ask()
      if (answer !== undefined) return answer
    } catch (error) {
      failure = error
    }
    await sleep(25)
  }
  throw new Error(`Nothing after ${within} ms`, { cause: failure })
}
