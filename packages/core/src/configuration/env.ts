import type { ConfigProblem, ConfigProblemCode } from '../errors.ts'
import { parseBytes } from '../options/byte-size.ts'
import { parseDuration } from '../time/duration.ts'
import { maxTimerMs } from '../time/wait.ts'

/** Environment variables, like `process.env`. */
export type Variables = Readonly<Record<string, string | undefined>>

const flags: ReadonlyMap<string, boolean> = new Map([
  ...['true', '1', 'yes', 'on'].map((word) => [word, true] as const),
  ...['false', '0', 'no', 'off'].map((word) => [word, false] as const),
])

/**
 * Reads environment variables for a role (`cache`, `session`): for sessions, `SESSION_REDIS_URL` takes precedence over
 * `REDIS_URL`. Empty variables count as not set. Every method returns `undefined` for a variable that is not set, and
 * for an invalid one, which it adds to `problems`.
 *
 * @example
 * const env = new Env(process.env, 'session')
 * const timeoutMs = env.timeout('MYSTORE_TIMEOUT')
 * const mode = env.choice('MYSTORE_MODE', ['strict', 'lenient'])
 * if (env.problems.length > 0) throw new ConfigError(env.problems)
 * console.log(timeoutMs, mode)
 */
export class Env {
  /** The role whose variables take precedence; empty for none. */
  readonly role: string
  /** The problems found so far. */
  readonly problems: ConfigProblem[]
  readonly #variables: Variables
  readonly #rolePrefix: string

  constructor(variables: Variables, role = '', problems: ConfigProblem[] = []) {
    this.#variables = variables
    this.role = role
    this.#rolePrefix = role === '' ? '' : `${role.toUpperCase()}_`
    this.problems = problems
  }

  /** Reads a string, without surrounding white space. */
  text(name: string): string | undefined {
    return this.#variables[this.#variableOf(name)]?.trim() || undefined
  }

  /** Reads a duration, in milliseconds. A number without a unit is invalid, because its unit would be a guess. */
  duration(name: string): number | undefined {
    return this.#read(
      name,
      (text) => {
        const ms = parseDuration(text)
        return ms !== undefined && ms > 0 ? ms : undefined
      },
      'is not a duration. Use a positive number with a unit (ms, s, m, h, d, w), such as 10m or 90s.',
    )
  }

  /** Reads a deadline or an interval, in milliseconds: a duration that `checkTimeout` accepts. */
  timeout(name: string): number | undefined {
    const ms = this.duration(name)
    if (ms === undefined || ms <= maxTimerMs) return ms
    this.problem(name, 'is too long for a timer. Use at most 24d.')
    return undefined
  }

  /** Reads an integer from `min` to `max`. */
  integer(name: string, min = 0, max: number = Number.MAX_SAFE_INTEGER): number | undefined {
    const fits = (value: number) => value >= min && value <= max
    const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
    return this.#read(
      name,
      (text) => (/^\d+$/.test(text) && fits(Number(text)) ? Number(text) : undefined),
      `is not a valid number. Use a whole number ${range}.`,
    )
  }

  /** Reads a share from 0 to 1: `0.001`, or `1/1000`. */
  share(name: string): number | undefined {
    return this.#read(
      name,
      (text) => {
        const [, dividend, divisor = 1] = /^([\d.]+)(?:\/([\d.]+))?$/.exec(text) ?? []
        const share = Number(dividend) / Number(divisor)
        return share >= 0 && share <= 1 ? share : undefined
      },
      'is not a share. Use a number from 0 to 1, such as 0.001 or 1/1000.',
    )
  }

  /** Reads a number of bytes: digits, or text such as `64MiB`. */
  bytes(name: string, min = 1): number | undefined {
    const range = min === 1 ? '' : ` of at least ${min} bytes`
    return this.#read(
      name,
      (text) => {
        const bytes = parseBytes(text) ?? 0
        return bytes >= min && bytes <= Number.MAX_SAFE_INTEGER ? bytes : undefined
      },
      `is not a size${range}. Use a number of bytes, or text such as 64MiB.`,
    )
  }

  /** Reads a boolean: `true`, `1`, `yes`, `on`, or `false`, `0`, `no`, `off`, in any case. */
  flag(name: string): boolean | undefined {
    return this.#read(
      name,
      (text) => flags.get(text.toLowerCase()),
      'is not a boolean. Use true or false.',
    )
  }

  /** Reads one of `choices`. */
  choice<T extends string>(name: string, choices: readonly T[]): T | undefined {
    return this.#read(
      name,
      (text) => choices.find((choice) => choice === text),
      `is not a known value. Use one of ${choices.join(', ')}.`,
    )
  }

  /** Reads a URL with one of `protocols`, such as `'https:'`. `example` is a valid URL, for the error. */
  url(name: string, protocols: readonly string[], example: string): URL | undefined {
    return this.#read(
      name,
      (text) => {
        const url = URL.canParse(text) ? new URL(text) : undefined
        return url && protocols.includes(url.protocol) ? url : undefined
      },
      `is not a ${protocols.join('// or ')}// URL. Use a URL like ${example}, and percent-encode its password (# is %23).`,
    )
  }

  /** Returns whether the variable is set with the prefix of the role, as in `SESSION_REDIS_URL`. */
  isOwn(name: string): boolean {
    return this.#rolePrefix !== '' && Boolean(this.#variables[this.#rolePrefix + name]?.trim())
  }

  /** Adds a problem with a variable, under the name from which it was read: with the prefix of the role, or without. */
  problem(name: string, remedy: string, code?: ConfigProblemCode): void {
    const variable = this.#variableOf(name)
    const value = this.#variables[variable]
    const problem = { variable, value: value && maskSecrets(variable, value), remedy }
    this.problems.push(code === undefined ? problem : { ...problem, code })
  }

  #read<T>(name: string, parse: (text: string) => T | undefined, remedy: string): T | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = parse(text)
    if (value === undefined) this.problem(name, remedy)
    return value
  }

  #variableOf(name: string): string {
    return this.isOwn(name) ? this.#rolePrefix + name : name
  }
}

/**
 * Returns the value of a variable for an error message. Everything that may be a password is masked.
 *
 * @example
 * console.log(maskSecrets('REDIS_URL', 'redis://user:secret@host:6379/0')) // redis://***@host:6379/0
 */
export function maskSecrets(variable: string, value: string): string {
  if (/PASS|SECRET|TOKEN|CREDENTIAL|AUTH|_KEY/i.test(variable)) return '***'
  // Everything before the last "@" may contain a password, even in an invalid URL. So may the query.
  const masked = value
    .replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, '$1***@')
    .replace(/\?.*$/s, '?***')
  // A truncated URL may end in the password: after a colon, only "//" and the port of a host are harmless.
  return /URL/i.test(variable) || masked.includes('://')
    ? masked.replace(/:(?!\/\/|(?<=[^/]:)\d{1,5}(?:\/|$)).+$/s, ':***')
    : masked
}
