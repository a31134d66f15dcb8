/**
 * White space between the parts of a header is a space or a tab (RFC 9110 section 5.6.3), and nothing else that `trim()`
 * and `\s` stand for: browsers and parsers take a no-break space as part of a name, so that it must not hide one.
 *
 * Clients choose what headers contain, up to 16 KB. Regular expressions with two adjacent repetitions that match the same
 * characters take quadratic time for them, so that these functions read each character once.
 */
function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

/** Returns the position of the first character from `start` that is neither a space nor a tab, or the length. */
export function skipBlanks(text: string, start: number): number {
  let position = start
  while (position < text.length && isBlank(text.charCodeAt(position))) position++
  return position
}

/** Returns a text without white space around it. */
export function trimBlanks(text: string): string {
  const start = skipBlanks(text, 0)
  let end = text.length
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

/** Returns the position after the quoted string that begins at `start`, or -1 if it has no end. */
export function skipQuoted(text: string, start: number): number {
  for (let position = start + 1; position < text.length; position++) {
    const code = text.charCodeAt(position)
    if (code === 0x5c) position++
    else if (code === 0x22) return position + 1
  }
  return -1
}

/** Splits a list at commas outside of quoted strings, without empty members and white space around them. */
export function splitList(text: string): string[] {
  const members: string[] = []
  let start = 0
  let isUnclosed = false
  for (let position = 0; position < text.length; position++) {
    const code = text.charCodeAt(position)
    if (code === 0x2c) {
      members.push(text.slice(start, position))
      start = position + 1
    } else if (code === 0x22 && !isUnclosed) {
      const end = skipQuoted(text, position)
      // All later quotes are escaped ones of this string.
      if (end < 0) isUnclosed = true
      else position = end - 1
    }
  }
  members.push(text.slice(start))
  return members.map(trimBlanks).filter((member) => member !== '')
}
