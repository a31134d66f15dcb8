import { CacheError } from '../errors.ts'
import { type Duration, milliseconds } from '../time/duration.ts'
import { maxTimerMs } from '../time/wait.ts'

/** Of a name of three characters, two others leave nothing in common. */
const maxDistance = (name: string): number => Math.min(2, Math.floor(name.length / 2))

/**
 * Checks that `options` has no unknown members, which are usually misspelled. `known` must list every option as a key:
 * TypeScript reports an option that is missing from it. `owner` is the driver or class, for the error message, and `example` a
 * correct call with the option that is most often misnamed.
 *
 * @throws TypeError that names the unknown option and the most similar known one, or all of them
 * @example
 * interface MyOptions { readonly timeout?: number }
 * checkOptionNames<MyOptions>('mystore', { timeout: 500 }, { timeout: true })
 */
export function checkOptionNames<Options extends object>(
  owner: string,
  options: Options,
  known: Readonly<Record<keyof Options, true>>,
  example?: string,
): void {
  if (typeof options !== 'object' || options === null) {
    const isMissing = options === null || options === undefined
    const kind = isMissing ? String(options) : `a ${typeof options}`
    const such = example === undefined ? '' : ` such as ${example},`
    throw new TypeError(`${owner}: the options must be an object,${such} not ${kind}.`)
  }
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name)) continue
    const remedy = remedyFor(name, Object.keys(known), example)
    throw new TypeError(`${owner}: unknown option ${name}. ${remedy}`)
  }
}

/** Clients and session stores of other libraries have a prefix. */
const prefixNames = ['prefix', 'keyPrefix']

function remedyFor(name: string, known: readonly string[], example: string | undefined): string {
  const similar = nearestName(name, known)
  if (similar !== undefined) return `Did you mean ${similar}?`
  if (prefixNames.includes(name) && !known.includes('prefix'))
    return "It is an option of the cache: new Cache(store, { prefix: 'app:' })."
  return `${example ? `Write ${example}. ` : ''}Known options: ${known.join(', ')}.`
}

/**
 * Returns the value of an option that must be one of `choices`. `name` is the driver and the option, as in
 * `mystore: mode`, for the error message.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for any other value
 * @example
 * console.log(checkChoice('mystore: mode', 'strict', ['strict', 'lenient']))
 */
export function checkChoice<T extends string>(name: string, value: T, choices: readonly T[]): T {
  if (choices.includes(value)) return value
  throw configError(`${name} must be one of ${choices.join(', ')}, not ${String(value)}.`)
}

/**
 * Returns the value of an option that must be an integer from `min` to `max`.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for any other value
 * @example
 * console.log(checkInteger('mystore: connections', 4, 1, 64))
 */
export function checkInteger(
  name: string,
  value: number,
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
  throw configError(`${name} must be a whole number ${range}, not ${shown(value)}.`)
}

/**
 * Returns an option that sets a timer, in milliseconds. It must be from 1 ms to 24 days, the maximum of `setTimeout`.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for any other duration
 * @example
 * console.log(checkTimeout('mystore: timeout', '2s')) // 2000
 */
export function checkTimeout(name: string, value: Duration): number {
  const ms = Math.ceil(milliseconds(value, name))
  if (ms >= 1 && ms <= maxTimerMs) return ms
  throw configError(`${name} must be between 1 ms and 24 days, not ${value}.`)
}

/** A text has quotes: '100' is not the number 100. */
function shown(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}

export function configError(message: string): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', message)
}

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

/** Returns the defaults, overridden by those members of `options` that are not `undefined`. */
export function mergeOptions<Defaults extends object, Options extends object>(
  defaults: Defaults,
  options: Options,
): Defaults & Options {
  // Not spread, which takes ten times as long.
  const merged: Record<string, unknown> = {}
  Object.assign(merged, defaults)
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) merged[name] = value
  }
  return merged as Defaults & Options
}

/** Returns the known name most similar to a misspelled one, or `undefined` if none is similar. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  const ranked = names.map((known) => ({ known, distance: distance(name, known) }))
  ranked.sort((a, b) => a.distance - b.distance)
  const [best] = ranked
  return best !== undefined && best.distance <= maxDistance(name) ? best.known : undefined
}

/** The Levenshtein distance: how many characters must be inserted, deleted or replaced. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const nextRow = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      nextRow[j] = Math.min((row[j] as number) + 1, (nextRow[j - 1] as number) + 1, replaced)
    }
    row = nextRow
  }
  return row[b.length] as number
}
