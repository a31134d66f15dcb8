import { setTimeout as sleep } from 'node:timers/promises'

const timeoutMs = 30_000

/** Waits until `isMet` returns true. @param {string} condition @param {() => unknown} isMet */
export async function waitUntil(condition, isMet) {
  const deadline = performance.now() + timeoutMs
  while (!(await isMet())) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${condition}`)
    await sleep(5)
  }
}
