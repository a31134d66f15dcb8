import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { RequestSlots } from '../../src/requests/request-slots.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

test('as many requests are in flight as there are slots', () => {
  const slots = new RequestSlots(2)
  expect([slots.tryAcquire(), slots.tryAcquire(), slots.tryAcquire()]).toEqual([true, true, false])
  slots.release()
  expect([slots.tryAcquire(), slots.tryAcquire()]).toEqual([true, false])
})

test('requests that wait get a slot in order', async () => {
  const slots = new RequestSlots(1)
  slots.tryAcquire()
  const order: number[] = []
  const deadline = performance.now() + 1_000
  const waiting = [1, 2].map((number) =>
    slots.acquire(deadline).then(() => {
      order.push(number)
    }),
  )
  slots.release()
  await waiting[0]
  expect(order).toEqual([1])
  expect(slots.tryAcquire()).toBe(false)
  slots.release()
  await waiting[1]
  expect(order).toEqual([1, 2])
  slots.release()
  expect(slots.tryAcquire()).toBe(true)
})

test('a request whose wait times out is not sent, and takes no slot', async () => {
  vi.advanceTimersByTime(1_000)
  const slots = new RequestSlots(1)
  slots.tryAcquire()
  let hasSlot = false
  const longer = slots.acquire(performance.now() + 10_000).then(() => {
    hasSlot = true
  })
  const waiting = slots.acquire(performance.now() + 100)
  const outcome = expect(waiting).rejects.toMatchObject({ wasSent: false })
  await vi.advanceTimersByTimeAsync(100)
  await outcome
  expect(hasSlot).toBe(false)
  slots.release()
  await longer
  slots.release()
  expect([slots.tryAcquire(), slots.tryAcquire()]).toEqual([true, false])
})

test('a slot is not given to a request whose deadline has passed, also if its timer is late', async () => {
  const slots = new RequestSlots(1)
  slots.tryAcquire()
  const now = performance.now()
  const late = expect(slots.acquire(now + 100)).rejects.toMatchObject({ wasSent: false })
  const longer = slots.acquire(now + 10_000)
  // The process was stopped: timers have not run.
  vi.spyOn(performance, 'now').mockReturnValue(now + 100)
  slots.release()
  await late
  await longer
  expect(slots.tryAcquire()).toBe(false)
  slots.release()
  expect([slots.tryAcquire(), slots.tryAcquire()]).toEqual([true, false])
})
