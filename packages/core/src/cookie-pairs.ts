/** A pair of a `Cookie` header that has a given name, or that a parser may read as one. */
export interface CookiePair {
  /** Name and value as they were sent, without white space around the pair. */
  readonly text: string
  /**
   * Whether the pair has exactly this name. Otherwise it has no `=`, or there are characters beside the name that a parser may
   * remove, such as a no-break space, which `String.prototype.trim` removes.
   */
  readonly isExact: boolean
}

/**
 * Returns the pairs of a `Cookie` header that have a name or that a parser may read as one, in their order. Every part of
 * this workspace that reads a cookie finds it with this function.
 *
 * White space is a space or a tab, as for browsers (RFC 6265 section 5.2). For a browser, `\xA0__Host-sid` is another name than
 * `__Host-sid`, and does not begin with the prefix: another host of the domain may set it.
 *
 * Takes linear time: the characters between two tokens are read a fixed number of times.
 */
export function cookiePairs(header: string, name: string): readonly CookiePair[] {
  const pairs: CookiePair[] = []
  const { length } = name
  if (length === 0) return pairs
  for (let at = header.indexOf(name); at >= 0; at = header.indexOf(name, at + length)) {
    const start = skipBack(header, at, isRemovable)
    if (start > 0 && header.charCodeAt(start - 1) !== semicolon) continue
    const end = skip(header, at + length, isRemovable)
    const hasValue = header.charCodeAt(end) === equals
    if (!hasValue && end < header.length && header.charCodeAt(end) !== semicolon) continue
    const isExact =
      hasValue &&
      skipBack(header, at, isBlank) === start &&
      skip(header, at + length, isBlank) === end
    pairs.push({ text: pairAt(header, start, end), isExact })
  }
  return pairs
}

const semicolon = 0x3b
const equals = 0x3d

/** @param inside an index within the pair */
function pairAt(header: string, start: number, inside: number): string {
  const end = header.indexOf(';', inside)
  const from = skip(header, start, isBlank)
  return header.slice(from, skipBack(header, end < 0 ? header.length : end, isBlank))
}

type CharacterTest = (code: number) => boolean

function skip(text: string, from: number, matches: CharacterTest): number {
  let at = from
  while (at < text.length && matches(text.charCodeAt(at))) at++
  return at
}

function skipBack(text: string, from: number, matches: CharacterTest): number {
  let at = from
  while (at > 0 && matches(text.charCodeAt(at - 1))) at--
  return at
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

/** Whether a character is neither part of a token (RFC 9110 section 5.6.2) nor a delimiter of cookies. */
function isRemovable(code: number): boolean {
  return code !== semicolon && code !== equals && tokenCharacters[code] !== true
}

const tokenCharacters: readonly boolean[] = Array.from({ length: 128 }, (_, code) =>
  /[!#$%&'*+\-.^_`|~\w]/.test(String.fromCharCode(code)),
)
