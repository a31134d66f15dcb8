import { skipBlanks, skipQuoted, splitList, trimBlanks } from './white-space.ts'

/** The directives of a `Cache-Control` header by their names in lower case. One without an argument is `true`. */
export type Directives = ReadonlyMap<string, string | true>

/** RFC 9111 section 1.2.2: a cache uses this value for a larger number of seconds. */
export const maxSeconds: number = 2 ** 31
export const noDirectives: Directives = new Map()

/** Parses a `Cache-Control` header, of a request or a response. Skips what is not a directive. */
export function parseCacheControl(value: string | undefined): Directives {
  if (value === undefined) return noDirectives
  const directives = new Map<string, string | true>()
  let hasQuotes = true
  let position = 0
  while (position < value.length) {
    const start = skipBlanks(value, position)
    const nameEnd = skipName(value, start)
    const next = skipBlanks(value, nameEnd)
    const comma = commaFrom(value, next)
    position = comma + 1
    if (nameEnd === start) continue
    const name = value.slice(start, nameEnd).toLowerCase()
    if (next === comma) add(directives, name, true)
    if (value.charCodeAt(next) !== equals) continue
    const argument = skipBlanks(value, next + 1)
    const end = hasQuotes && value.charCodeAt(argument) === quote ? skipQuoted(value, argument) : 0
    // All later quotes are escaped ones of this string.
    if (end < 0) hasQuotes = false
    const afterQuoted = end > 0 ? skipBlanks(value, end) : -1
    const isQuoted = afterQuoted === value.length || value.charCodeAt(afterQuoted) === 0x2c
    if (isQuoted) position = afterQuoted + 1
    add(
      directives,
      name,
      isQuoted ? value.slice(argument, end) : trimBlanks(value.slice(argument, comma)),
    )
  }
  return directives
}

const quote = 0x22
const equals = 0x3d
/** Space, tab, `=`, `,`, `;` and `"` end a name. */
const delimiters = new Set([0x20, 0x09, equals, 0x2c, 0x3b, quote])

function skipName(value: string, start: number): number {
  let position = start
  while (position < value.length && !delimiters.has(value.charCodeAt(position))) position++
  return position
}

function commaFrom(value: string, start: number): number {
  const comma = value.indexOf(',', start)
  return comma < 0 ? value.length : comma
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

/** A directive, also with white space around `=`, which was permitted once (RFC 2616 section 2.1). */
const directive = /^[\w!#$%&'*+.^`|~-]+(?:[ \t]*=[ \t]*(?:"(?:[^"\\]|\\.)*"|[^ \t";]*))?$/

/** Whether a `Cache-Control` header has a member that is not a directive, such as two without a comma between them. */
export function isMalformed(value: string | undefined): boolean {
  return value !== undefined && !splitList(value).every((member) => directive.test(member))
}

/** The members of a list header in lower case, without empty ones. */
export function listOf(value: string | undefined): string[] {
  if (value === undefined) return []
  return value
    .toLowerCase()
    .split(',')
    .map(trimBlanks)
    .filter((member) => member !== '')
}
