import { expect, test } from 'vitest'
import { RecentWrites } from '../../src/items/recent-writes.ts'

/** Keys written by a process, whose clock can be set. */
function setup(startMs = 1_000_000) {
  const clock = { ms: startMs, isKnown: true }
  const now = () => clock.ms
  return { clock, writes: new RecentWrites({ now }, () => clock.isKnown) }
}

test('a written key is recent for at least two seconds, and at most four', () => {
  const { clock, writes } = setup()
  writes.add(['a'])
  clock.ms += 1_999
  writes.add(['b'])
  expect(writes.hasAny(['x', 'a'])).toBe(true)
  expect(writes.hasAny(['x'])).toBe(false)
  expect(writes.hasAny([])).toBe(false)
  // The second window.
  clock.ms += 1
  expect([writes.hasAny(['a']), writes.hasAny(['b'])]).toEqual([true, true])
  writes.add(['c'])
  clock.ms += 2_000
  expect(['a', 'b', 'c'].map((key) => writes.hasAny([key]))).toEqual([false, false, true])
})

test('no key is recent after two windows without a call', () => {
  const { clock, writes } = setup()
  writes.add(['a'])
  clock.ms += 3_999
  expect(writes.hasAny(['a'])).toBe(true)
  const later = setup()
  later.writes.add(['a'])
  later.clock.ms += 4_000
  expect(later.writes.hasAny(['a'])).toBe(false)
})

test('a clock that is set back begins another window', () => {
  const { clock, writes } = setup()
  writes.add(['a'])
  clock.ms -= 10_000
  expect(writes.hasAny(['a'])).toBe(true)
  clock.ms += 2_000
  expect(writes.hasAny(['a'])).toBe(false)
})

test('a token is the time of the last write, and empty before the first one', () => {
  const { clock, writes } = setup()
  expect(writes.token).toBe('')
  writes.add(['a'])
  clock.ms += 5
  writes.hasAny(['a'])
  expect(writes.token).toBe((1_000_000).toString(36))
  writes.add(['a'])
  expect(writes.token).toBe((1_000_005).toString(36))
})

test('all keys are recent for four seconds after the write of an observed token', () => {
  const { clock, writes } = setup()
  writes.observe((999_000).toString(36))
  writes.observe((998_000).toString(36))
  expect(writes.hasAny(['x'])).toBe(true)
  clock.ms = 1_002_999
  expect(writes.hasAny(['x'])).toBe(true)
  // An older token does not end that earlier.
  writes.observe((998_500).toString(36))
  expect(writes.hasAny(['x'])).toBe(true)
  clock.ms = 1_003_000
  expect(writes.hasAny(['x'])).toBe(false)
})

test('a token of a clock that is ahead counts as one of now', () => {
  const { clock, writes } = setup()
  writes.observe((2_000_000).toString(36))
  expect(writes.hasAny(['x'])).toBe(true)
  clock.ms += 3_999
  expect(writes.hasAny(['x'])).toBe(true)
  clock.ms += 1
  expect(writes.hasAny(['x'])).toBe(false)
})

test('all keys are recent after a token until the time of the server is known', () => {
  const { clock, writes } = setup()
  clock.isKnown = false
  expect(writes.hasAny(['x'])).toBe(false)
  writes.observe((900_000).toString(36))
  expect([writes.hasAny(['x']), writes.hasAny(['x'])]).toEqual([true, true])
  clock.isKnown = true
  expect(writes.hasAny(['x'])).toBe(false)
})

test.each(['', 'LFLS', 'l-s', 'zzzzzzzzzzz', ' lfls'])('"%s" is not a token', (text) => {
  const { writes } = setup()
  writes.observe(text)
  writes.observe((900_000).toString(36))
  expect(writes.hasAny(['x'])).toBe(false)
  writes.observe((1_000_000).toString(36))
  expect(writes.hasAny(['x'])).toBe(true)
})
