import { test } from 'vitest'
import type { backends } from './backends.ts'
import { expectLatency, mute, refuse, run, timeout } from './outages.ts'

/** Tests two outages of a backend with a fallback store in the memory of each process. */
export function outageTests(backend: keyof typeof backends): void {
  test('nothing fails or is outdated when a server refuses connections, and later is silent', {
    timeout,
  }, async () => {
    const logs = await run({ backend }, async ({ backend, untilReturned }) => {
      await refuse(backend)
      await untilReturned()
      await mute(backend)
    })
    expectLatency(logs)
  })
}
