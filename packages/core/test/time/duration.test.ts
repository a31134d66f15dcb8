import { milliseconds, type Ttl } from '@stowage/core'
import { describe, expect, test } from 'vitest'
import { parseDuration, resolveTtl } from '../../src/time/duration.ts'

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
    'rejects %s with an example',
    (invalid) => {
      expect(() => milliseconds(invalid as never)).toThrow(TypeError)
      expect(() => milliseconds(invalid as never)).toThrow(/'10m'/)
    },
  )

  test('parseDuration rejects a text without a unit', () => {
    expect(parseDuration('600')).toBeUndefined()
  })
})

describe('resolveTtl', () => {
  test.each<[string, Ttl, number | undefined]>([
    ['null never expires', null, undefined],
    ['Infinity never expires', Infinity, undefined],
    ['a number above the safe integers never expires', 1e16, undefined],
    ['a fraction is rounded up', 0.2, 1],
    ['zero has expired', 0, 0],
    ['a negative ttl has expired', -5, 0],
    ['minus infinity has expired', -Infinity, 0],
    ['a date is the time until that date', new Date(1_000_500), 500],
    ['a past date has expired', new Date(999_000), 0],
    ['31 days', '31d', 2_678_400_000],
  ])('%s', (_, ttl, expected) => {
    expect(resolveTtl(ttl, clock)).toBe(expected)
  })

  test('rejects NaN and an invalid date', () => {
    expect(() => resolveTtl(Number.NaN, clock)).toThrow(TypeError)
    expect(() => resolveTtl(new Date('never'), clock)).toThrow(TypeError)
  })
})
