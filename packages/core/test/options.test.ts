import { Cache, type CacheOptions } from '@stowage/core'
import { checkChoice, checkInteger, checkOptionNames } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { referenceStore } from '@stowage/testing'
import { expect, test } from 'vitest'

const code = 'ERR_CACHE_CONFIG'

test('checkChoice returns one of the choices, and otherwise throws an error that lists them', () => {
  expect(checkChoice('mystore: colour', 'red', ['red', 'green'])).toBe('red')
  for (const value of ['blue', '', undefined, true]) {
    expect(() => checkChoice('mystore: colour', value as string, ['red', 'green'])).toThrow(
      expect.objectContaining({
        code,
        message: `mystore: colour must be one of red, green, not ${value}.`,
      }),
    )
  }
})

test('checkInteger returns an integer in the range, and otherwise throws an error with the range', () => {
  expect(checkInteger('mystore: size', 1, 1)).toBe(1)
  expect(checkInteger('mystore: size', 9, 1, 9)).toBe(9)
  for (const value of [0, -1, 1.5, Number.NaN, Infinity, 2 ** 53, '3', undefined]) {
    expect(() => checkInteger('mystore: size', value as number, 1)).toThrow(
      expect.objectContaining({
        code,
        message: `mystore: size must be a whole number of at least 1, not ${value}.`,
      }),
    )
  }
  expect(() => checkInteger('mystore: size', 10, 1, 9)).toThrow(
    /a whole number from 1 to 9, not 10/,
  )
})

test('an unknown option is a TypeError that names the most similar one', () => {
  interface Options {
    readonly timeout?: number
  }
  const check = (options: object) => () =>
    checkOptionNames<Options>('mystore', options, { timeout: true })
  expect(check({ timeout: 1 })).not.toThrow()
  expect(check({ timeuot: 1 })).toThrow(
    new TypeError('mystore: unknown option timeuot. Did you mean timeout?'),
  )
  expect(check({ colour: 1 })).toThrow(
    new TypeError('mystore: unknown option colour. Known options: timeout.'),
  )
  expect(() => new Cache(memory(), { prefx: 'a:' } as CacheOptions)).toThrow(/Did you mean prefix/)
})

test('a prefix that is too long is named in the error, also on a store that cannot list its keys', () => {
  for (const scan of [true, false]) {
    const store = referenceStore({ scan, limits: { keyBytes: 60 } })
    const prefix = 'a prefix that leaves no room:'
    expect(() => new Cache(store, { prefix })).toThrow(
      /"a prefix that leaves no room:" is too long/,
    )
  }
})
