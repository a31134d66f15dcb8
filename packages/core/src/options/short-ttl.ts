const second = 1_000
const silent: unique symbol = Symbol.for('stowage.shortTtl')
/** The state of the process: each entry point of this package, and each module format, has a copy of this module. */
const state = globalThis as { [silent]?: true }

/**
 * Warns, once per process, of an option of a user that is a whole number below 1000: it is milliseconds, and probably meant
 * as seconds, which other libraries count. A text with a unit says what is meant. Not for ttls that are calculated.
 *
 * @example
 * warnOfShortTtl('mystore: ttl', 60) // mystore: ttl: 60 means 60 milliseconds. Write '60s' for seconds, or '60ms'.
 */
export function warnOfShortTtl(name: string, ttl: unknown): void {
  if (typeof ttl !== 'number' || ttl >= second || ttl <= 0) return
  if (state[silent] || !Number.isInteger(ttl)) return
  state[silent] = true
  process.emitWarning(
    `${name}: ${ttl} means ${ttl} milliseconds. Write '${ttl}s' for seconds, or '${ttl}ms'.`,
    { type: 'StowageWarning', code: 'STOWAGE_SHORT_TTL' },
  )
}

/** Stops the warning of {@link warnOfShortTtl} in this process. For test tools, whose ttls are short on purpose. */
export function allowShortTtls(): void {
  state[silent] = true
}
