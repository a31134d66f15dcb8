// A text of PostgreSQL contains no NUL. U+0001 begins an escape, so that no other key is stored under the same text.
const one = '\x01\x02'
const nul = '\x01\x01'

/** Returns the text under which a key is stored. That of a prefix of the key is a prefix of it. */
export function toStoredKey(key: string): string {
  if (!key.includes('\x01') && !key.includes('\0')) return key
  return key.replaceAll('\x01', one).replaceAll('\0', nul)
}

export function fromStoredKey(text: string): string {
  return text.replaceAll(nul, '\0').replaceAll(one, '\x01')
}

const lastCodePoint = 0x10ffff

/**
 * Returns the first text after all those that begin with `prefix`, in the order of code points, in which the table is
 * sorted. `undefined` if there is none.
 */
export function endOfPrefix(prefix: string): string | undefined {
  const points = Array.from(prefix, (char) => char.codePointAt(0) as number)
  while (points.at(-1) === lastCodePoint) points.pop()
  const last = points.pop()
  if (last === undefined) return undefined
  // Surrogates are not characters.
  const next = last === 0xd7ff ? 0xe000 : last + 1
  return String.fromCodePoint(...points, next)
}
