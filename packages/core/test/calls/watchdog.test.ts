import { setTimeout as sleep } from 'node:timers/promises'
import { Watchdog } from '@stowage/core/driver'
import { expect, test, vi } from 'vitest'

test('a watchdog waits as long as there is progress, and times out when it stops', async () => {
  const onTimeout = vi.fn()
  const watchdog = new Watchdog(200, onTimeout)
  watchdog.begin()
  for (let part = 0; part < 20; part++) {
    await sleep(30)
    watchdog.progress()
  }
  expect(onTimeout).not.toHaveBeenCalled()
  await expect.poll(() => onTimeout.mock.calls.length).toBe(1)
  watchdog.end()
})
