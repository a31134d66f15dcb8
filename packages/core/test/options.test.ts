import { checkChoice, checkInteger } from '@stowage/core/driver'
import { expect, test } from 'vitest'

const codes = { code: 'ERR_CACHE_CONFIG' }

test('a choice is one of the choices, or the error names them', () => {
  expect(checkChoice('mine: colour', 'red', ['red', 'green'])).toBe('red')
  for (const given of ['blue', '', undefined, true]) {
    expect(() => checkChoice('mine: colour', given as string, ['red', 'green'])).toThrow(
      expect.objectContaining({
        ...codes,
        message: `mine: colour must be one of red, green, not ${given}.`,
      }),
    )
  }
})

test('a whole number is within its bounds, or the error names them', () => {
  expect(checkInteger('mine: size', 1, 1)).toBe(1)
  expect(checkInteger('mine: size', 9, 1, 9)).toBe(9)
  for (const given of [0, -1, 1.5, Number.NaN, Infinity, 2 ** 53, '3', undefined]) {
    expect(() => checkInteger('mine: size', given as number, 1)).toThrow(
      expect.objectContaining({
        ...codes,
        message: `mine: size must be a whole number of at least 1, not ${given}.`,
      }),
    )
  }
  expect(() => checkInteger('mine: size', 10, 1, 9)).toThrow(/a whole number from 1 to 9, not 10/)
})
