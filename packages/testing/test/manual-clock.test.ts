import { ManualClock } from '@stowage/testing'
import { expect, test } from 'vitest'

test('now() changes only by advance', async () => {
  const clock = new ManualClock(1_000)
  expect(clock.now()).toBe(1_000)
  await clock.advance(5)
  expect([clock.now(), clock.monotonic()]).toEqual([1_005, 1_005])
})

test.each([-1, NaN])('advance by %d rejects', async (ms) => {
  await expect(new ManualClock().advance(ms)).rejects.toThrow(RangeError)
})

test('sleeps resolve in order, each at its own time', async () => {
  const clock = new ManualClock(0)
  const woken: string[] = []
  const sleep = async (name: string, ms: number) => {
    await clock.sleep(ms)
    woken.push(`${name} at ${clock.now()}`)
  }
  const sleeps = [sleep('b', 20), sleep('a', 10), sleep('c', 20), sleep('d', 31)]
  await clock.advance(30)
  expect(woken).toEqual(['a at 10', 'b at 20', 'c at 20'])
  expect([clock.now(), clock.sleeping]).toEqual([30, 1])
  await clock.advance(1)
  await Promise.all(sleeps)
  expect(woken.at(-1)).toBe('d at 31')
})

test('sleeps that start during advance resolve within it', async () => {
  const clock = new ManualClock(0)
  const times: number[] = []
  const tick = async () => {
    for (let round = 0; round < 5; round++) {
      await clock.sleep(10)
      for (let step = 0; step < 20; step++) await undefined
      times.push(clock.now())
    }
  }
  void tick()
  await clock.advance(35)
  expect(times).toEqual([10, 20, 30])
  await clock.advance(100)
  expect(times).toEqual([10, 20, 30, 40, 50])
})

test('a sleep of zero or less resolves without advance', async () => {
  await new ManualClock().sleep(0)
  await new ManualClock().sleep(-1)
})

test('an aborted sleep rejects with the reason of its signal', async () => {
  const clock = new ManualClock()
  const controller = new AbortController()
  const reason = new Error('aborted')
  const sleeping = clock.sleep(10, controller.signal)
  controller.abort(reason)
  await expect(sleeping).rejects.toBe(reason)
  await expect(clock.sleep(10, controller.signal)).rejects.toBe(reason)
  expect(clock.sleeping).toBe(0)
})
