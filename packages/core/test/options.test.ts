import { checkChoice, checkInteger } from '@stowage/core/driver'
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
