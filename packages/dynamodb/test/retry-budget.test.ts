import { afterEach, expect, test, vi } from 'vitest'
import { RetryBudget } from '../src/requests/retry-budget.ts'

afterEach(() => vi.restoreAllMocks())

test('a retry leaves time for a reply before the deadline', async () => {
  // The delay before the first retry is 25 ms.
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
  // A clock that stands still, because the delay may take longer.
  vi.spyOn(performance, 'now').mockReturnValue(0)
  const budget = new RetryBudget()
  expect(await budget.wait(1, 20_000)).toBe(true)
  expect(await budget.wait(1, 40)).toBe(false)
})

test('a retry is not made if its delay took too long', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0)
  const wait = new RetryBudget().wait(1, performance.now() + 50)
  const start = performance.now()
  while (performance.now() - start < 60);
  expect(await wait).toBe(false)
})
