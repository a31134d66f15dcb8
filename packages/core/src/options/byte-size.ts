import { checkInteger, configError } from './check-options.ts'

/** A number of bytes, or text with a unit (B, KB, MB, GB, KiB, MiB, GiB): `'64MiB'`. */
export type ByteSize = number | `${number}${'' | 'B' | 'KB' | 'MB' | 'GB' | 'KiB' | 'MiB' | 'GiB'}`

const units: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1_000,
  MB: 1_000_000,
  GB: 1_000_000_000,
  KiB: 1_024,
  MiB: 1_024 ** 2,
  GiB: 1_024 ** 3,
}
const pattern = /^(\d+(?:\.\d+)?) ?([KMG]i?B|B)?$/

/** Converts a text such as `'64MiB'` to bytes. `undefined` for any other text. */
export function parseBytes(text: string): number | undefined {
  const [, digits, unit = 'B'] = pattern.exec(text) ?? []
  const factor = units[unit]
  return digits === undefined || factor === undefined
    ? undefined
    : Math.round(Number(digits) * factor)
}

/**
 * Returns an option that is a size, in bytes.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for any other value, and for a size outside `min` and `max`
 * @example
 * console.log(checkBytes('mystore: maxBytes', '64MiB', 1)) // 67108864
 */
export function checkBytes(name: string, value: ByteSize, min: number, max?: number): number {
  const bytes = typeof value === 'string' ? parseBytes(value) : value
  if (bytes !== undefined) return checkInteger(name, bytes, min, max)
  throw configError(
    `${name} must be a number of bytes, or a number with a unit such as '64MiB', not ${value}.`,
  )
}
