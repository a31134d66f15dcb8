import { milliseconds, type Ttl } from '@stowage/core'
import { parseDuration, resolveTtl } from '@stowage/core/driver'
import { describe, expect, test } from 'vitest'

const clock = { now: () => 1_000_000 }

describe('milliseconds', () => {
  test.each([
    ['250ms', 250],
    ['90s', 90_000],
    ['10m', 600_000],
    ['1.5h', 5_400_000],
    ['30d', 2_592_000_000],
    ['2w', 1_209_600_000],
    [1234, 1234],
  ] as const)('%s is %d ms', (duration, ms) => {
    expect(milliseconds(duration)).toBe(ms)
  })

  test.each(['', '10', 'm', '10 minutes', '1h30m', 'soon', Number.NaN, undefined, {}])(
    'refuses %s with the remedy',
    (bad) => {
      expect(() => milliseconds(bad as never)).toThrow(TypeError)
      expect(() => milliseconds(bad as never)).toThrow(/'10m'/)
    },
  )

  test('a text without a unit is no duration: nobody knows which', () => {
    expect(parseDuration('600')).toBeUndefined()
  })
})

describe('resolveTtl', () => {
  test.each<[string, Ttl, number | undefined]>([
    ['null never expires', null, undefined],
    ['Infinity never expires', Infinity, undefined],
    ['more than the safe integers never expires', 1e16, undefined],
    ['a fraction is rounded up', 0.2, 1],
    ['zero is over', 0, 0],
    ['a negative ttl is over', -5, 0],
    ['minus infinity is over', -Infinity, 0],
    ['a date is the time until then', new Date(1_000_500), 500],
    ['a past date is over', new Date(999_000), 0],
    ['31 days', '31d', 2_678_400_000],
  ])('%s', (_, ttl, expected) => {
    expect(resolveTtl(ttl, clock)).toBe(expected)
  })

  test('NaN and an invalid date are mistakes', () => {
    expect(() => resolveTtl(Number.NaN, clock)).toThrow(TypeError)
    expect(() => resolveTtl(new Date('never'), clock)).toThrow(TypeError)
  })
})
