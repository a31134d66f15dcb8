const pattern = /^(?:0|-?[1-9]\d{0,15})$/

/** The maximum length of a safe integer in decimal: a minus sign and 16 digits. */
export const longestIntegerText = 17

/**
 * Returns the safe integer in `text`, or `undefined`. Leading zeros, a plus sign, `-0` and exponents are invalid, as in
 * the values that Redis accepts for `INCRBY`.
 *
 * @example
 * console.log(parseSafeInteger('42'), parseSafeInteger('007')) // 42 undefined
 */
export function parseSafeInteger(text: string): number | undefined {
  if (!pattern.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}
