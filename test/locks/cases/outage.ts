import { expect, test } from 'vitest'
import type { Fleet } from '../../remember/processes/fleet.mjs'

/** The ticks of a deadline may be late, for which the process counts as running. */
const toleranceMs = 2_000

export function outageTests(started: () => Fleet): void {
  test('while the store is unreachable, limits decide as chosen within the deadline', async () => {
    const { backend } = started()
    const [known] = await started().processes(1)
    const request = (policy: string, onError: string) => {
      const options = { limit: 5, window: '1h', policy, onError }
      return { name: `outage ${policy}`, options, key: onError, calls: 3 }
    }
    // This process has read the time of the backend, the other one has not.
    await known?.command('consume', request('fixed', 'deny'))
    const fresh = await started().spawn()
    await backend.stop()
    backend.stop = async () => {}
    const deadlineMs = backend.driver === 'dynamodb' ? 20_000 : 2_000
    for (const policy of ['fixed', 'sliding', 'bucket']) {
      for (const each of [known, fresh]) {
        const decisions = ['allow', 'deny'].map((onError) =>
          each?.command('consumeTimed', request(policy, onError)),
        )
        const outcomes = await Promise.all(decisions)
        expect(outcomes.map(({ allowed }) => allowed)).toEqual([3, 0])
        for (const { ms } of outcomes) expect(ms).toBeLessThan(deadlineMs + toleranceMs)
        const thrown = each?.command('consume', request(policy, 'throw'))
        await expect(thrown).rejects.toMatchObject({
          code: expect.stringMatching(/ERR_CACHE_(UNAVAILABLE|TIMEOUT)/),
        })
      }
    }
  })
}
