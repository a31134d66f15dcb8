import type { Directives } from './cache-control.ts'
import { splitList } from './white-space.ts'

const text = String.raw`"(?:[^"\\]|\\["\\])*"`
/** A boolean, a number, a string or a token; bytes, a date or a text, which no directive of HTTP has. */
const item = String.raw`\?[01]|-?\d+(?:\.\d+)?|${text}|[A-Za-z*][^\s,;"()=]*|:[\w+/=]*:|@-?\d+|%"[^"]*"`
const innerList = String.raw`\((?:[^"()]|${text})*\)`
const parameters = `(?:;(?:[^",]|${text})*)?`
const member = new RegExp(`^([a-z*][a-z0-9_.*-]*)(?:=(${item}|${innerList}))?${parameters}$`)
const stringMember = new RegExp(
  String.raw`^"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"${parameters}$`,
)
const integer = /^\d+$/
const lifetimes = ['max-age', 's-maxage']

/**
 * Parses a targeted field such as `CDN-Cache-Control`, a dictionary of structured fields (RFC 9213 section 2.1). Returns
 * `undefined` if it is absent, empty or invalid: then it is ignored, as the section requires.
 */
export function parseTargeted(value: string | undefined): Directives | undefined {
  if (value === undefined) return undefined
  const directives = new Map<string, string | true>()
  for (const part of splitList(value)) {
    const match = member.exec(part)
    if (match === null) return undefined
    const argument = match[2]
    directives.set(
      match[1] as string,
      argument === undefined || argument === '?1' ? true : argument,
    )
  }
  for (const name of lifetimes) {
    const argument = directives.get(name)
    // A lifetime of another type is ignored.
    if (argument !== undefined && (argument === true || !integer.test(argument))) {
      directives.delete(name)
    }
  }
  return directives.size === 0 ? undefined : directives
}

/** Parses a list of strings, such as `Cache-Groups` (RFC 9875). An invalid list is empty. */
export function parseStrings(value: string | undefined): string[] {
  if (value === undefined) return []
  const strings: string[] = []
  for (const part of splitList(value)) {
    const match = stringMember.exec(part)
    if (match === null) return []
    strings.push((match[1] as string).replaceAll(/\\(["\\])/g, '$1'))
  }
  return strings
}
