import { CacheError } from '../errors.ts'
import { type Duration, milliseconds } from '../time/duration.ts'

// setTimeout fires at once for a longer delay.
const longestTimerMs = 2 ** 31 - 1

/**
 * Returns an option that must be one of `choices`. `name` names driver and option in the error: `'redis: readFrom'`.
 * @throws CacheError `ERR_CACHE_CONFIG` for any other value
 */
export function checkChoice<T extends string>(name: string, given: T, choices: readonly T[]): T {
  if (choices.includes(given)) return given
  throw wrong(`${name} must be one of ${choices.join(', ')}, not ${String(given)}.`)
}

/**
 * Returns an option that must be an integer from `min` to `max`.
 * @throws CacheError `ERR_CACHE_CONFIG` for any other value
 */
export function checkInteger(
  name: string,
  given: number,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): number {
  if (Number.isSafeInteger(given) && given >= min && given <= max) return given
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
  throw wrong(`${name} must be a whole number ${range}, not ${String(given)}.`)
}

/**
 * Returns the milliseconds of an option that becomes a timer: from 1 ms to 24 days.
 * @throws CacheError `ERR_CACHE_CONFIG` for any other duration
 */
export function checkTimeout(name: string, given: Duration): number {
  const ms = Math.ceil(milliseconds(given))
  if (ms >= 1 && ms <= longestTimerMs) return ms
  throw wrong(`${name} must be between 1 ms and 24 days, not ${given}.`)
}

function wrong(message: string): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', message)
}
