/** The directives of a `Cache-Control` header by their names in lower case. One without an argument is `true`. */
export type Directives = ReadonlyMap<string, string | true>

/** RFC 9111 section 1.2.2: a cache uses this value for a larger number of seconds. */
const maxSeconds = 2 ** 31
const directive = /\s*([^\s=,;"]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^,]*))?\s*(?:,|$)/y
export const noDirectives: Directives = new Map()

/** Parses a `Cache-Control` header, of a request or a response. Skips what is not a directive. */
export function parseCacheControl(value: string | undefined): Directives {
  if (value === undefined) return noDirectives
  const directives = new Map<string, string | true>()
  let position = 0
  while (position < value.length) {
    directive.lastIndex = position
    const match = directive.exec(value)
    if (match === null || match[0] === '') {
      const comma = value.indexOf(',', position)
      if (comma < 0) break
      position = comma + 1
      continue
    }
    position = directive.lastIndex
    add(directives, (match[1] as string).toLowerCase(), match[2]?.trim() ?? true)
  }
  return directives
}

/** Of a repeated lifetime, the shortest counts; of any other directive, the first. */
function add(directives: Map<string, string | true>, name: string, argument: string | true): void {
  const existing = directives.get(name)
  const isShorter =
    (name === 'max-age' || name === 's-maxage') &&
    (secondsOf(argument) ?? 0) < (secondsOf(existing) ?? 0)
  if (existing === undefined || isShorter) directives.set(name, argument)
}

/**
 * Returns the argument of a directive in seconds. An argument that is not a number of seconds is 0: what it was meant to
 * be is unknown (RFC 9111 section 4.2.1). `undefined` without an argument.
 */
export function secondsOf(argument: string | true | undefined): number | undefined {
  if (argument === undefined || argument === true) return undefined
  const text = /^"\d+"$/.test(argument) ? argument.slice(1, -1) : argument
  return /^\d+$/.test(text) ? Math.min(Number(text), maxSeconds) : 0
}

/** The names of the fields that a directive such as `no-cache="set-cookie"` is limited to, in lower case. */
export function fieldsOf(argument: string | true | undefined): string[] {
  return typeof argument === 'string' ? listOf(argument.replaceAll('"', '')) : []
}

/** The members of a list header in lower case, without empty ones. */
export function listOf(value: string | undefined): string[] {
  if (value === undefined) return []
  return value
    .toLowerCase()
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '')
}
