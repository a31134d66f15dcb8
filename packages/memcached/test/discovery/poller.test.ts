import { ManualClock } from '@stowage/testing'
import { beforeEach, describe, expect, test } from 'vitest'
import { Poller, type PollOutcome } from '../../src/discovery/poller.ts'

let clock: ManualClock
let startedAt: number
/** When each poll started, in milliseconds since the start of the test. */
let polls: number[]
let outcome: PollOutcome
let pollMs: number

function createPoller(random = 0.5): Poller {
  const poll = async () => {
    polls.push(clock.now() - startedAt)
    await clock.sleep(pollMs)
    return outcome
  }
  return new Poller(poll, { pollIntervalMs: 60_000, clock, random: () => random })
}

beforeEach(() => {
  clock = new ManualClock()
  startedAt = clock.now()
  polls = []
  outcome = 'unchanged'
  pollMs = 0
})

describe('pollNow()', () => {
  test.each([
    [0, 54_000],
    [0.5, 60_000],
    [1, 66_000],
  ])('starts the interval, with a jitter of ±10 %: random %d', async (random, intervalMs) => {
    await createPoller(random).pollNow()
    await clock.advance(3 * intervalMs)
    expect(polls).toEqual([0, intervalMs, 2 * intervalMs, 3 * intervalMs])
  })

  test('is required for the first poll', async () => {
    createPoller()
    await clock.advance(600_000)
    expect(polls).toEqual([])
  })

  test('joins the poll in flight', async () => {
    pollMs = 500
    const poller = createPoller()
    const calls = [poller.pollNow(), poller.pollNow(), poller.pollNow()]
    poller.pollSoon()
    await clock.advance(500)
    await Promise.all(calls)
    expect(polls).toEqual([0])
    await clock.advance(1_000)
    expect(polls).toEqual([0, 1_500])
  })

  test('restarts the interval', async () => {
    const poller = createPoller()
    await poller.pollNow()
    await clock.advance(30_000)
    await poller.pollNow()
    await clock.advance(60_000)
    expect(polls).toEqual([0, 30_000, 90_000])
  })
})

describe('an early poll', () => {
  test('starts at once if the last poll is more than a second ago', async () => {
    const poller = createPoller()
    await poller.pollNow()
    await clock.advance(20_000)
    poller.pollSoon()
    await clock.advance(0)
    expect(polls).toEqual([0, 20_000])
  })

  test('starts a second after the last poll, however often pollSoon() is called', async () => {
    const poller = createPoller()
    await poller.pollNow()
    for (let i = 0; i < 100; i++) {
      poller.pollSoon()
      await clock.advance(50)
    }
    expect(polls).toEqual([0, 1_000, 2_000, 3_000, 4_000, 5_000])
  })

  test('is less frequent after half a minute without changes, until there is a change', async () => {
    const poller = createPoller()
    await poller.pollNow()
    const pollSoonEverySecond = async (seconds: number) => {
      for (let i = 0; i < seconds; i++) {
        poller.pollSoon()
        await clock.advance(1_000)
      }
    }
    await pollSoonEverySecond(30)
    expect(polls.length).toBe(31)
    await pollSoonEverySecond(30)
    expect(polls.length).toBe(34)
    outcome = 'changed'
    await pollSoonEverySecond(10)
    expect(polls.length).toBe(35)
    await pollSoonEverySecond(5)
    expect(polls.length).toBe(40)
  })

  test('follows a failed poll, until a poll succeeds', async () => {
    outcome = 'failed'
    await createPoller().pollNow()
    await clock.advance(2_000)
    expect(polls).toEqual([0, 1_000, 2_000])
    outcome = 'changed'
    await clock.advance(1_000)
    await clock.advance(59_999)
    expect(polls).toEqual([0, 1_000, 2_000, 3_000])
  })
})

test('close() waits for the poll in flight and stops the interval', async () => {
  pollMs = 500
  const poller = createPoller()
  void poller.pollNow()
  let isClosed = false
  const closed = poller.close().then(() => {
    isClosed = true
  })
  await clock.advance(499)
  expect(isClosed).toBe(false)
  await clock.advance(1)
  await closed
  poller.pollSoon()
  await clock.advance(600_000)
  expect(polls).toEqual([0])
  expect(clock.sleeping).toBe(0)
})

test('close() ends the pause before the next poll', async () => {
  const poller = createPoller()
  await poller.pollNow()
  expect(clock.sleeping).toBe(1)
  await poller.close()
  expect(clock.sleeping).toBe(0)
})
