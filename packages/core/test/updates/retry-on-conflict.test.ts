import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { conflict, retryOnConflict } from '../../src/updates/conditional-write.ts'

const at = { operation: 'append', store: 'reference', key: 'log' }

/** A clock that records for how long it has slept. */
function setUp() {
  const pauses: number[] = []
  const sleep = async (ms: number) => {
    await nextTurn()
    pauses.push(ms)
  }
  const clock = { now: () => 0, sleep }
  return { clock, pauses }
}

test('the last of 100 attempts may succeed', async () => {
  const { clock, pauses } = setUp()
  const attempt = async () => (pauses.length < 99 ? conflict : 'stored')
  expect(await retryOnConflict(at, clock, attempt)).toBe('stored')
})

test('rejects after 100 conflicts, which the caller may repeat', async () => {
  const { clock, pauses } = setUp()
  await expect(retryOnConflict(at, clock, async () => conflict)).rejects.toMatchObject({
    ...at,
    code: 'ERR_CACHE_REJECTED',
    retryable: true,
    message: expect.stringMatching(/^append failed: .* in each of 100 attempts/),
  })
  expect(pauses).toHaveLength(100)
})

test('waits for longer after each conflict, for up to 20 ms', async () => {
  const { clock, pauses } = setUp()
  await retryOnConflict(at, clock, async () => conflict).catch(() => {})
  expect(pauses[0]).toBe(0)
  expect(pauses.every((ms, conflicts) => ms >= 0 && ms <= Math.min(conflicts, 20))).toBe(true)
  expect(Math.max(...pauses)).toBeGreaterThan(1)
})
