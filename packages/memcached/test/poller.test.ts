import { ManualClock } from '@stowage/testing'
import { beforeEach, describe, expect, test } from 'vitest'
import { type Outcome, Poller } from '../src/discovery/poller.ts'

let clock: ManualClock
let start: number
/** When each poll began, in milliseconds since the start. */
let polls: number[]
let outcome: Outcome
let pollTakesMs: number

function poller(random = 0.5): Poller {
  const poll = async () => {
    polls.push(clock.now() - start)
    await clock.sleep(pollTakesMs)
    return outcome
  }
  return new Poller(poll, { pollMs: 60_000, clock, random: () => random })
}

beforeEach(() => {
  clock = new ManualClock()
  start = clock.now()
  polls = []
  outcome = 'same'
  pollTakesMs = 0
})

describe('a poll', () => {
  test.each([
    [0, 54_000],
    [0.5, 60_000],
    [1, 66_000],
  ])('is repeated every minute, give or take a tenth: %d', async (random, ms) => {
    await poller(random).now()
    await clock.advance(3 * ms)
    expect(polls).toEqual([0, ms, 2 * ms, 3 * ms])
  })

  test('never begins before somebody asks', async () => {
    poller()
    await clock.advance(600_000)
    expect(polls).toEqual([])
  })

  test('is shared by all who ask while it is under way', async () => {
    pollTakesMs = 500
    const shared = poller()
    const all = [shared.now(), shared.now(), shared.now()]
    shared.hurry()
    await clock.advance(500)
    await Promise.all(all)
    expect(polls).toEqual([0])
    await clock.advance(1_000)
    expect(polls).toEqual([0, 1_500])
  })

  test('asked for between two comes now, and the next a minute later', async () => {
    const asked = poller()
    await asked.now()
    await clock.advance(30_000)
    await asked.now()
    await clock.advance(60_000)
    expect(polls).toEqual([0, 30_000, 90_000])
  })
})

describe('in a hurry', () => {
  test('it comes at once where the last is a second ago', async () => {
    const hurried = poller()
    await hurried.now()
    await clock.advance(20_000)
    hurried.hurry()
    await clock.advance(0)
    expect(polls).toEqual([0, 20_000])
  })

  test('it comes a second after the last, however often it is said', async () => {
    const hurried = poller()
    await hurried.now()
    for (let i = 0; i < 100; i++) {
      hurried.hurry()
      await clock.advance(50)
    }
    expect(polls).toEqual([0, 1_000, 2_000, 3_000, 4_000, 5_000])
  })

  test('it takes its time after half a minute without news, until there are some', async () => {
    const hurried = poller()
    await hurried.now()
    const sayFor = async (seconds: number) => {
      for (let i = 0; i < seconds; i++) {
        hurried.hurry()
        await clock.advance(1_000)
      }
    }
    await sayFor(30)
    expect(polls.length).toBe(31)
    await sayFor(30)
    expect(polls.length).toBe(34)
    outcome = 'changed'
    await sayFor(10)
    expect(polls.length).toBe(35)
    await sayFor(5)
    expect(polls.length).toBe(40)
  })

  test('it repeats what has failed, until it succeeds', async () => {
    outcome = 'failed'
    await poller().now()
    await clock.advance(2_000)
    expect(polls).toEqual([0, 1_000, 2_000])
    outcome = 'changed'
    await clock.advance(1_000)
    await clock.advance(59_999)
    expect(polls).toEqual([0, 1_000, 2_000, 3_000])
  })
})

test('closed, it ends: after the poll under way, for good', async () => {
  pollTakesMs = 500
  const closing = poller()
  void closing.now()
  const closed = closing.close()
  await clock.advance(500)
  await closed
  closing.hurry()
  await clock.advance(600_000)
  expect(polls).toEqual([0])
  expect(clock.sleeping).toBe(0)
})
