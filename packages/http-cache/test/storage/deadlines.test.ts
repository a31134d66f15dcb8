import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { CacheDeadlineError, Deadlines } from '../../src/storage/deadlines.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const never = () => new Promise<never>(() => {})

/** Begins a call, and reads its state. */
function stateOf(call: Promise<unknown>): () => unknown {
  let state: unknown = 'pending'
  call.then(
    (value) => {
      state = value
    },
    (error) => {
      state = error
    },
  )
  return () => state
}

test('a call is rejected after its timeout, or an eighth later', async () => {
  const deadlines = new Deadlines(80)
  const call = stateOf(deadlines.limit(never()))
  await vi.advanceTimersByTimeAsync(80)
  expect(call()).toBe('pending')
  await vi.advanceTimersByTimeAsync(10)
  expect(call()).toEqual(new CacheDeadlineError(80))
  expect(call()).toMatchObject({
    name: 'CacheDeadlineError',
    message: 'The cache did not reply within 80 ms.',
  })
})

test('each call has the whole timeout', async () => {
  const deadlines = new Deadlines(80)
  const first = stateOf(deadlines.limit(never()))
  await vi.advanceTimersByTimeAsync(40)
  const second = stateOf(deadlines.limit(never()))
  await vi.advanceTimersByTimeAsync(50)
  expect(first()).toBeInstanceOf(CacheDeadlineError)
  expect(second()).toBe('pending')
  await vi.advanceTimersByTimeAsync(30)
  expect(second()).toBe('pending')
  await vi.advanceTimersByTimeAsync(10)
  expect(second()).toBeInstanceOf(CacheDeadlineError)
})

test('a call settles like its work, and then needs no timer', async () => {
  const deadlines = new Deadlines(80)
  const failure = new Error('lost')
  const calls = [Promise.resolve(7), Promise.reject(failure)].map((work) =>
    stateOf(deadlines.limit(work)),
  )
  expect(vi.getTimerCount()).toBe(1)
  await vi.advanceTimersByTimeAsync(10)
  expect(calls.map((state) => state())).toEqual([7, failure])
  expect(vi.getTimerCount()).toBe(0)
})

test('a call after a time without calls is limited as well', async () => {
  const deadlines = new Deadlines(80)
  await deadlines.limit(Promise.resolve())
  await vi.advanceTimersByTimeAsync(10)
  const call = stateOf(deadlines.limit(never()))
  expect(vi.getTimerCount()).toBe(1)
  await vi.advanceTimersByTimeAsync(90)
  expect(call()).toBeInstanceOf(CacheDeadlineError)
  expect(vi.getTimerCount()).toBe(0)
})
