import { CacheError } from '../errors.ts'

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

/** Converts a number of bytes, or text such as `'64MiB'`, to bytes. @throws CacheError `ERR_CACHE_CONFIG` */
export function parseBytes(name: string, size: number | string): number {
  if (typeof size === 'number') return size
  const [, digits, unit = 'B'] = pattern.exec(size) ?? []
  const factor = units[unit]
  if (digits !== undefined && factor !== undefined) return Math.round(Number(digits) * factor)
  const message = `${name}: "${size}" is not a size. Use a number of bytes, or text such as "64MiB".`
  throw new CacheError('ERR_CACHE_CONFIG', message)
}
