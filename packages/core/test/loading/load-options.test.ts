import { ManualClock } from '@stowage/testing'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { LoadOptions, type RememberOptions } from '../../src/loading/remember-options.ts'

const clock = new ManualClock()
const optionsOf = (options: RememberOptions<string>, defaultTtl?: number) =>
  new LoadOptions(options, defaultTtl, clock)

describe('the options of a load', () => {
  test('have defaults', () => {
    const options = optionsOf({}, 60_000)
    expect({ ...options }).toEqual({
      staleWhileRevalidate: 0,
      staleIfError: 0,
      staleWindow: 0,
      tags: [],
      loadTimeout: 30_000,
      lease: 5_000,
      refresh: false,
      audit: true,
    })
    expect(options.tagsOf('value')).toEqual([])
    expect(options.ttlOf('value')).toBe(60_000)
    expect([options.backoff(true), options.backoff(false)]).toEqual([1_000, 0])
    expect(optionsOf({}).ttlOf('value')).toBeUndefined()
  })

  test('are whole milliseconds, except for the timeout of the load', () => {
    const options = optionsOf({
      staleWhileRevalidate: 1.5,
      staleIfError: '1s',
      tags: ['t'],
      loadTimeout: 1.5,
      lease: 1.5,
      backoff: 1.5,
      refresh: true,
      audit: false,
    })
    expect({ ...options }).toEqual({
      staleWhileRevalidate: 2,
      staleIfError: 1_000,
      staleWindow: 1_000,
      tags: ['t'],
      loadTimeout: 1.5,
      lease: 2,
      refresh: true,
      audit: false,
    })
    expect([options.backoff(true), options.backoff(false)]).toEqual([2, 2])
  })

  test('have the longer of the two windows', () => {
    expect(optionsOf({ staleWhileRevalidate: '1s', staleIfError: 5 }).staleWindow).toBe(1_000)
  })

  test('have tags of their own, or those of the value', () => {
    const fixed = optionsOf({ tags: ['t'] })
    expect([fixed.tags, fixed.tagsOf('value')]).toEqual([['t'], []])
    const computed = optionsOf({ tags: (value) => [`of ${value}`] })
    expect([computed.tags, computed.tagsOf('value')]).toEqual([[], ['of value']])
  })

  test.each<[number | false, number | undefined]>([
    [1, 1],
    [2 ** 31 - 1, 2 ** 31 - 1],
    [false, undefined],
  ])('have a lease of %s', (lease, expected) => {
    expect(optionsOf({ lease }).lease).toBe(expected)
  })

  test.each([0.9, 2 ** 31 - 0.5, 0, -1])('refuse a lease of %s', (lease) => {
    expect(() => optionsOf({ lease })).toThrow(
      'remember: lease must be from 1 ms to 24 days, or false.',
    )
  })

  test.each<[string, object, string]>([
    ['an unknown name', { staleIfErrors: 1 }, 'Did you mean staleIfError?'],
    ['tags that are a text', { tags: 't' }, 'remember: the tags must be an array'],
    ['a lease without a unit', { lease: 'x' }, 'remember: lease is not a duration'],
    ['a timeout without a unit', { loadTimeout: 'x' }, 'remember: loadTimeout is not a duration'],
    ['a ttl without a unit', { ttl: 'x' }, 'ttl is not a duration'],
    [
      'a jitter above 1',
      { jitter: 1.1 },
      'remember: jitter must be a number from 0 to 1, not 1.1.',
    ],
    ['a negative jitter', { jitter: -0.1 }, 'remember: jitter must be a number from 0 to 1'],
    ['a jitter that is not a number', { jitter: Number.NaN }, 'from 0 to 1, not NaN.'],
  ])('refuse %s', (_, options, message) => {
    expect(() => optionsOf(options as RememberOptions<string>)).toThrow(message)
  })
})

describe('the ttl of a loaded value', () => {
  afterEach(() => vi.restoreAllMocks())

  test('is that of the loader, of the value, or of the call', () => {
    const byValue = optionsOf({ ttl: (value) => (value === 'long' ? '1h' : null) }, 5)
    expect([byValue.ttlOf('long'), byValue.ttlOf('endless')]).toEqual([3_600_000, undefined])
    expect(byValue.ttlOf('long', '1s')).toBe(1_000)
    expect(optionsOf({ ttl: '1m' }, 5).ttlOf('value')).toBe(60_000)
    expect(optionsOf({ ttl: new Date(clock.now() + 700) }, 5).ttlOf('value')).toBe(700)
  })

  test.each([
    [0.5, 0.5, 750],
    [1, 0.25, 750],
    [1, 0.9999, 1],
    [0, 0.5, 1_000],
    [undefined, 0.5, 1_000],
  ])('is shortened by a jitter of %s at random', (jitter, random, ms) => {
    vi.spyOn(Math, 'random').mockReturnValue(random)
    expect(optionsOf({ ttl: 1_000, jitter }).ttlOf('value')).toBe(ms)
  })

  test('stays endless with a jitter', () => {
    expect(optionsOf({ ttl: null, jitter: 0.5 }).ttlOf('value')).toBeUndefined()
  })
})
