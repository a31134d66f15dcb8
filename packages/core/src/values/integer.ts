const pattern = /^(?:0|-?[1-9]\d{0,15})$/

/** The longest text of a safe integer has a minus sign and 16 digits. */
export const longestIntegerText = 17

/**
 * The safe integer that `text` is in JSON, or `undefined`: leading zeros, a plus sign, `-0` and exponents are refused, as
 * Redis refuses them in `INCRBY`.
 */
export function parseSafeInteger(text: string): number | undefined {
  if (!pattern.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}
