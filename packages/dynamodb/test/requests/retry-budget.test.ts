import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { RetryBudget } from '../../src/requests/retry-budget.ts'

/** The time in milliseconds. It stands still, because a delay may take longer. */
let now: number

beforeEach(() => {
  now = 0
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  vi.spyOn(Math, 'random').mockReturnValue(0)
})
afterEach(() => vi.restoreAllMocks())

/** How many retries are made at once, of up to `max`. */
async function retriesOf(budget: RetryBudget, max = 200): Promise<number> {
  const outcomes = Array.from({ length: max }, () => budget.wait(1, now + 1_000))
  return (await Promise.all(outcomes)).filter(Boolean).length
}

test('the delay of a retry leaves time for a reply before the deadline', async () => {
  // A hundredth of the longest delay.
  vi.mocked(Math.random).mockReturnValue(0.01)
  const budget = new RetryBudget()
  now = 1_000
  for (const [failures, delayMs] of [
    [1, 0.5],
    [2, 1],
    [3, 2],
    [6, 10],
    [20, 10],
  ] as const) {
    expect(await budget.wait(failures, now + delayMs + 20)).toBe(false)
    expect(await budget.wait(failures, now + delayMs + 20.25)).toBe(true)
  }
  expect(await budget.waitForRest(now + 20.5)).toBe(false)
  expect(await budget.waitForRest(now + 20.75)).toBe(true)
})

test('a retry is not made if its delay took too long', async () => {
  const budget = new RetryBudget()
  const waits = [budget.wait(1, 50), budget.wait(1, 50.5), budget.waitForRest(50)]
  now = 30
  expect(await Promise.all(waits)).toEqual([false, true, false])
})

test('a hundred retries may be made at once, and ten more in each second', async () => {
  const budget = new RetryBudget()
  expect(await retriesOf(budget)).toBe(100)
  now = 99
  expect(await retriesOf(budget)).toBe(0)
  now = 100
  expect(await retriesOf(budget)).toBe(1)
  now = 1_100
  expect(await retriesOf(budget)).toBe(10)
  now = 100_000
  expect(await retriesOf(budget)).toBe(100)
})

test('a retry that succeeds costs nothing, and five other requests pay for one', async () => {
  const budget = new RetryBudget()
  budget.succeeded(true)
  expect(await retriesOf(budget)).toBe(100)
  budget.succeeded(true)
  expect(await retriesOf(budget)).toBe(1)
  for (let requests = 0; requests < 4; requests++) budget.succeeded(false)
  expect(await retriesOf(budget)).toBe(0)
  for (let requests = 0; requests < 2; requests++) budget.succeeded(false)
  expect(await retriesOf(budget)).toBe(1)
})

test('requests for the rest of a batch are not limited', async () => {
  const budget = new RetryBudget()
  await retriesOf(budget)
  expect(await budget.waitForRest(1_000)).toBe(true)
})
