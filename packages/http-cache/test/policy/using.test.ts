import { describe, expect, test } from 'vitest'
import { parseCacheControl } from '../../src/headers/cache-control.ts'
import { ageOf, type Freshness, mayReplaceError, useOf } from '../../src/policy/freshness.ts'

const freshness: Freshness = {
  lifetime: 60,
  initialAge: 5,
  staleWhileRevalidate: 10,
  staleIfError: 20,
  mayBeStale: true,
  isShared: true,
  omitted: [],
}

test('the age of a stored response is that at its receipt, and the time since', () => {
  expect(ageOf(freshness, 1_000_000, 1_003_000)).toBe(8)
  expect(ageOf(freshness, 1_000_000, 999_000)).toBe(5)
})

describe('a stored response whose lifetime is 60 seconds, and 10 more while it is refreshed', () => {
  const useAt = (age: number, request = '', changes: Partial<Freshness> = {}) =>
    useOf({ ...freshness, ...changes }, age, parseCacheControl(request))

  test.each([
    [59.9, '', 'fresh'],
    [60, '', 'stale'],
    [69.9, '', 'stale'],
    [70, '', 'validate'],
    [0, 'no-cache', 'validate'],
    [0, 'no-store', 'fresh'],
    [10, 'max-age=10', 'fresh'],
    [10.1, 'max-age=10', 'validate'],
    [0, 'max-age=0', 'validate'],
    [50, 'min-fresh=10', 'fresh'],
    [50.1, 'min-fresh=10', 'validate'],
    [0, 'min-fresh=61', 'validate'],
    [10_000, 'max-stale', 'fresh'],
    [90, 'max-stale=30', 'fresh'],
    [90.1, 'max-stale=30', 'validate'],
    [75, 'max-stale=x', 'validate'],
  ])('of the age %d is, for a request with "%s", %s', (age, request, use) => {
    expect(useAt(age, request)).toBe(use)
  })

  test('is not sent stale if it forbids that', () => {
    const strict = { mayBeStale: false, staleWhileRevalidate: 0 }
    expect(useAt(60, 'max-stale', strict)).toBe('validate')
    expect(useAt(59, 'max-stale', strict)).toBe('fresh')
  })
})

test.each([
  [79.9, 20, true],
  [80, 20, false],
  [0, 20, true],
  [0, 0, false],
])(
  'at the age %d, with %d seconds for errors, a response replaces one: %s',
  (age, staleIfError, isUsed) => {
    expect(mayReplaceError({ ...freshness, staleIfError }, age)).toBe(isUsed)
  },
)
