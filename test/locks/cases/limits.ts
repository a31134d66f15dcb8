import { beforeAll, describe, expect, test } from 'vitest'
import type { Fleet } from '../../remember/processes/fleet.mjs'
import type { WorkerProcess } from '../../remember/processes/worker-process.mjs'

const clockShiftMs = 600_000
const minutesMs = 5 * 60_000

export function limitTests(started: () => Fleet): void {
  describe('four processes whose clocks differ by ten minutes', () => {
    let processes: readonly WorkerProcess[]
    beforeAll(async () => {
      const shifts = [clockShiftMs, -clockShiftMs]
      const shifted = shifts.map((clockShiftMs) => started().spawn({ clockShiftMs }))
      processes = [...(await started().processes(2)), ...(await Promise.all(shifted))]
    })

    test.each(['fixed', 'sliding', 'bucket'])('consume exactly the limit: %s', async (policy) => {
      const options = { limit: 100, window: '1h', policy }
      const first = processes[0] as WorkerProcess
      let request = { name: policy, options, key: 'k0' }
      // A key whose window does not end during the test.
      for (let count = 1; count < 100; count++) {
        const { resetMs } = await first.command('peek', request)
        if (policy === 'bucket' || resetMs % 3_600_000 > minutesMs) break
        request = { ...request, key: `k${count}` }
      }
      let allowed = 0
      for (let round = 0; round < 2; round++) {
        const counts = await Promise.all(
          processes.map((each) => each.command('consume', { ...request, calls: 30 })),
        )
        allowed += counts.reduce((sum, count) => sum + count, 0)
      }
      expect(allowed).toBe(100)
      for (const each of processes) {
        expect((await each.command('peek', request)).remaining).toBe(0)
      }
    })
  })
}
