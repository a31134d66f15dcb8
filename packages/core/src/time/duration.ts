import { types } from 'node:util'
import { CacheError } from '../errors.ts'
import { type Clock, systemClock } from './clock.ts'

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

/** A number of milliseconds, or a text with a unit (ms, s, m, h, d, w): `'90s'`, `'10m'`, `'1.5h'`, `'30d'`. */
export type Duration = number | `${number}${keyof typeof units}`

/**
 * Time to live of an entry: a {@link Duration}, the `Date` at which it expires, or `null` for "never expires".
 * With zero, a negative duration or a past date, the entry is deleted instead of stored.
 */
export type Ttl = Duration | Date | null

const pattern = /^([+-]?\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/

/** Parses a duration with a unit, into milliseconds. Returns `undefined` for any other text. */
export function parseDuration(text: string): number | undefined {
  const match = pattern.exec(text.trim())
  return match ? Number(match[1]) * units[match[2] as keyof typeof units] : undefined
}

// Applications use the same few durations in every call.
const parsedDurations = new Map<string, number>()
const maxParsedDurations = 100

/**
 * Converts a duration to milliseconds.
 *
 * @param name what the duration is, for the error message
 * @throws TypeError for any other value, and for `NaN`
 * @example
 * console.log(milliseconds('10m')) // 600000
 */
export function milliseconds(duration: Duration, name?: string): number {
  const ms = typeof duration === 'string' ? parseCached(duration) : duration
  if (typeof ms !== 'number' || Number.isNaN(ms)) {
    const shown = typeof duration === 'string' ? `'${duration}'` : String(duration)
    const subject = name === undefined ? 'Not a duration' : `${name} is not a duration`
    throw new TypeError(
      `${subject}: ${shown}. Use milliseconds, or a number with a unit (ms, s, m, h, d, w): '10m'.`,
    )
  }
  return ms
}

function parseCached(text: string): number | undefined {
  const cached = parsedDurations.get(text)
  if (cached !== undefined) return cached
  const ms = parseDuration(text)
  if (ms !== undefined && parsedDurations.size < maxParsedDurations) parsedDurations.set(text, ms)
  return ms
}

/** 100 years. */
const maxPeriod = 5_200 * units.w

/** Converts a duration that is stored, or added to a ttl: to whole milliseconds, rounded up, and 100 years at most. */
export function wholeMilliseconds(duration: Duration): number {
  return Math.min(Math.ceil(milliseconds(duration)), maxPeriod)
}

/**
 * Converts a ttl to the form of the store contract: milliseconds, rounded up, or `undefined` for "never expires" (also
 * for `Infinity` and durations beyond the safe integers). Returns 0 for a ttl that has already expired.
 *
 * @throws TypeError for an invalid duration or `Date`
 */
export function resolveTtl(ttl: Ttl, clock: Pick<Clock, 'now'>): number | undefined {
  if (ttl === null) return undefined
  const ms = types.isDate(ttl) ? ttl.getTime() - clock.now() : milliseconds(ttl, 'ttl')
  if (Number.isNaN(ms)) throw new TypeError('Not a ttl: the Date is invalid.')
  if (ms > Number.MAX_SAFE_INTEGER) return undefined
  return Math.max(0, Math.ceil(ms))
}

/**
 * Converts the default ttl of a cache, like {@link resolveTtl}.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` unless it is positive or `null`
 */
export function defaultTtl(ttl: Duration | null): number | undefined {
  const ms = resolveTtl(ttl, systemClock)
  if (ms !== 0) return ms
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    `The default ttl ${ttl} is not positive. Use null for entries that never expire.`,
  )
}
