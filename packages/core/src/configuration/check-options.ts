import { CacheError } from '../errors.ts'

/**
 * A choice a driver was given. `name` says whose it is and which: `'redis: readFrom'`.
 * @throws CacheError `ERR_CACHE_CONFIG` for what is none of the choices
 */
export function oneOf<T extends string>(name: string, given: T, choices: readonly T[]): T {
  if (choices.includes(given)) return given
  throw wrong(`${name} must be one of ${choices.join(', ')}, not ${String(given)}.`)
}

/**
 * A number a driver was given, named likewise.
 * @throws CacheError `ERR_CACHE_CONFIG` unless it is whole and within the bounds
 */
export function wholeNumber(
  name: string,
  given: number,
  least: number,
  most: number = Number.MAX_SAFE_INTEGER,
): number {
  if (Number.isSafeInteger(given) && given >= least && given <= most) return given
  const bounds =
    most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`
  throw wrong(`${name} must be a whole number ${bounds}, not ${String(given)}.`)
}

function wrong(message: string): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', message)
}
