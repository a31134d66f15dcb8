import type { ConfigProblem } from '../errors.ts'
import { parseDuration } from '../time/duration.ts'

export type Variables = Readonly<Record<string, string | undefined>>

const flags: ReadonlyMap<string, boolean> = new Map([
  ...['true', '1', 'yes', 'on'].map((word) => [word, true] as const),
  ...['false', '0', 'no', 'off'].map((word) => [word, false] as const),
])

/**
 * Reads variables for one role (`cache`, `session`): `SESSION_REDIS_URL` beats `REDIS_URL` for sessions. An
 * empty variable is an absent one, and an absent one is `undefined`: an option not passed. What cannot be
 * understood is reported to `problems` and read as absent.
 */
export class Env {
  /** The role whose variables are read; empty for none. */
  readonly role: string
  readonly problems: ConfigProblem[]
  readonly #variables: Variables
  readonly #own: string

  constructor(variables: Variables, role = '', problems: ConfigProblem[] = []) {
    this.#variables = variables
    this.role = role
    this.#own = role === '' ? '' : `${role.toUpperCase()}_`
    this.problems = problems
  }

  text(name: string): string | undefined {
    return this.#variables[this.#variableOf(name)]?.trim() || undefined
  }

  /** A duration with its unit, in milliseconds: `'90s'`. A bare number is refused: seconds or milliseconds? */
  duration(name: string): number | undefined {
    return this.#read(
      name,
      (text) => {
        const ms = parseDuration(text)
        return ms !== undefined && ms > 0 ? ms : undefined
      },
      'is no duration. Write a positive number with its unit (ms, s, m, h, d, w), such as 10m or 90s.',
    )
  }

  /** A whole number from `least` to `most`. */
  integer(name: string, least = 0, most: number = Number.MAX_SAFE_INTEGER): number | undefined {
    const fits = (value: number) => value >= least && value <= most
    const range = most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `${least} to ${most}`
    return this.#read(
      name,
      (text) => (/^\d+$/.test(text) && fits(Number(text)) ? Number(text) : undefined),
      `is not possible. Write a whole number, ${range}.`,
    )
  }

  /** `true` or `false`, also as `1`, `yes`, `on` and their opposites. */
  flag(name: string): boolean | undefined {
    return this.#read(name, (text) => flags.get(text.toLowerCase()), 'is neither true nor false.')
  }

  /** One of the words. */
  choice<Word extends string>(name: string, words: readonly Word[]): Word | undefined {
    return this.#read(
      name,
      (text) => words.find((word) => word === text),
      `is not known. Write one of ${words.join(', ')}.`,
    )
  }

  /** A URL of one of the protocols (with colon). */
  url(name: string, protocols: readonly string[], example: string): URL | undefined {
    return this.#read(
      name,
      (text) => {
        const url = URL.canParse(text) ? new URL(text) : undefined
        return url && protocols.includes(url.protocol) ? url : undefined
      },
      `is no ${protocols.join('// or ')}// URL. Write it like ${example}.`,
    )
  }

  /** Whether the variable is given for this role alone. */
  isOwn(name: string): boolean {
    return this.#own !== '' && Boolean(this.#variables[this.#own + name]?.trim())
  }

  /** Notes a problem with a variable, under the name it was found by. */
  problem(name: string, remedy: string): void {
    const variable = this.#variableOf(name)
    const value = this.#variables[variable]
    this.problems.push({ variable, value: value && maskSecrets(variable, value), remedy })
  }

  #read<T>(name: string, parse: (text: string) => T | undefined, remedy: string): T | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const value = parse(text)
    if (value === undefined) this.problem(name, remedy)
    return value
  }

  #variableOf(name: string): string {
    return this.isOwn(name) ? this.#own + name : name
  }
}

/** The value as it may be printed: without what could be a password. */
export function maskSecrets(variable: string, value: string): string {
  if (/PASS|SECRET|TOKEN|CREDENTIAL|AUTH|_KEY/i.test(variable)) return '***'
  // Everything up to the last "@" may be a password, also where the rest is no URL; so may a query.
  const shown = value.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, '$1***@').replace(/\?.*$/s, '?***')
  // A URL cut short ends in the password: after a colon only "//" and, behind a host, a port are harmless.
  return /URL/i.test(variable)
    ? shown.replace(/:(?!\/\/|(?<=[^/]:)\d{1,5}(?:\/|$)).+$/s, ':***')
    : shown
}
