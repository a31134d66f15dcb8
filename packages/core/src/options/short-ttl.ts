const second = 1_000
let hasWarned = false

/**
 * Warns, once per process, of an option of a user that is a whole number below 1000: it is milliseconds, and probably meant
 * as seconds, which other libraries count. A text with a unit says what is meant. Not for ttls that are calculated.
 *
 * @example
 * warnOfShortTtl('mystore: ttl', 60) // mystore: ttl: 60 means 60 milliseconds. Write '60s' for seconds, or '60ms'.
 */
export function warnOfShortTtl(name: string, ttl: unknown): void {
  if (typeof ttl !== 'number' || ttl >= second || ttl <= 0) return
  if (hasWarned || !Number.isInteger(ttl)) return
  hasWarned = true
  process.emitWarning(
    `${name}: ${ttl} means ${ttl} milliseconds. Write '${ttl}s' for seconds, or '${ttl}ms'.`,
    { type: 'StowageWarning', code: 'STOWAGE_SHORT_TTL' },
  )
}
