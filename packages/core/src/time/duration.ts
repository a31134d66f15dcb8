import { CacheError } from '../errors.ts'
import { type Clock, systemClock } from './clock.ts'

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

/** A span of time: a number of milliseconds, or a number with its unit such as `'90s'`, `'10m'`, `'1.5h'`, `'30d'`. */
export type Duration = number | `${number}${keyof typeof units}`

/**
 * How long an entry lives: a {@link Duration}, a `Date` at which it ends, or `null` for "never expires".
 * Zero, a negative span or a past date mean "already over": the entry is deleted instead of stored.
 */
export type Ttl = Duration | Date | null

const pattern = /^([+-]?\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/

/** Milliseconds of a duration text with a unit, or `undefined` when the text is none. */
export function parseDuration(text: string): number | undefined {
  const match = pattern.exec(text.trim())
  return match ? Number(match[1]) * units[match[2] as keyof typeof units] : undefined
}

// An application writes the same few durations in every call.
const parsed = new Map<string, number>()
const keptTexts = 100

/** Milliseconds of a duration. @throws TypeError when it is none, or `NaN` */
export function milliseconds(duration: Duration): number {
  const ms = typeof duration === 'string' ? rememberedParse(duration) : duration
  if (typeof ms !== 'number' || Number.isNaN(ms)) {
    throw new TypeError(
      `Not a duration: ${String(duration)}. Give milliseconds, or a number with a unit of ms, s, m, h, d, w such as '10m'.`,
    )
  }
  return ms
}

function rememberedParse(text: string): number | undefined {
  const known = parsed.get(text)
  if (known !== undefined) return known
  const ms = parseDuration(text)
  if (ms !== undefined && parsed.size < keptTexts) parsed.set(text, ms)
  return ms
}

/**
 * The ttl as a store takes it: whole milliseconds rounded up, `undefined` for "never expires" (also for
 * `Infinity` and spans beyond the safe integers), 0 when it is already over. @throws TypeError for `NaN`
 */
export function resolveTtl(ttl: Ttl, clock: Pick<Clock, 'now'>): number | undefined {
  if (ttl === null) return undefined
  const ms = ttl instanceof Date ? ttl.getTime() - clock.now() : milliseconds(ttl)
  if (Number.isNaN(ms)) throw new TypeError('Not a ttl: the Date is invalid.')
  if (ms > Number.MAX_SAFE_INTEGER) return undefined
  return Math.max(0, Math.ceil(ms))
}

/** The default ttl of a cache as a store takes it. @throws CacheError `ERR_CACHE_CONFIG` unless it is positive, or `null` */
export function defaultTtl(ttl: Duration | null): number | undefined {
  const ms = resolveTtl(ttl, systemClock)
  if (ms !== 0) return ms
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    `The default ttl ${ttl} is not positive. Use null for "never expires".`,
  )
}
