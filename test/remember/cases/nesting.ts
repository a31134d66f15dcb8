import { expect, test } from 'vitest'
import type { Fleet } from '../processes/fleet.mjs'
import { rememberOnce } from './measuring.ts'

const loadMs = 200
/** How long a nested call waits for the load of another process. */
const nestedWaitMs = 1_000
/** For a busy machine. */
const toleranceMs = 5_000

export function nestingTests(started: () => Fleet): void {
  test('two processes whose loads need each other do not wait forever', async () => {
    const [first, second] = await started().processes(2)
    if (first === undefined || second === undefined) throw new Error('no processes')
    const options = { ttl: '1m' }
    const request = (key: string, nested: string) => ({
      key,
      options,
      load: { ms: loadMs, nested: { key: nested, options, load: { ms: loadMs } } },
    })
    const outcomes = await Promise.all([
      rememberOnce(first, request('left', 'right')),
      rememberOnce(second, request('right', 'left')),
    ])
    expect(outcomes).toMatchObject([{ value: 'value of left' }, { value: 'value of right' }])
    for (const { ms } of outcomes) {
      expect(ms).toBeLessThan(nestedWaitMs + 2 * loadMs + toleranceMs)
    }
    expect(await first.strongGet('left')).toBe('value of left')
  })
}
