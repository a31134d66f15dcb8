import type { EntryFacts } from '../entry.ts'

/** The header of the frame of an entry. */
export interface FrameHeader {
  /** `undefined` for none. */
  readonly facts: EntryFacts | undefined
  /** The format of the body. */
  readonly as: string | undefined
  /** Where the body begins. */
  readonly end: number
}

/** The members of the JSON text. */
interface Members extends EntryFacts {
  readonly as?: string
}

/**
 * Headers that differ in their times, `id` and `etag` only, as those of all entries with the same tags and versions. They
 * are not parsed as JSON, which would take most of the time of a read of a small value.
 */
interface Family {
  /** Matches the text of the headers, and the 0x00 behind it. */
  readonly text: RegExp
  /** The same for bytes, with {@link marks} for what differs. */
  readonly bytes: Uint8Array
  /** Those of one of the headers. */
  readonly facts: EntryFacts | undefined
  readonly as: string | undefined
  readonly fields: Readonly<Fields>
}

/** Where what differs is. A member each: to assign a fact by a name that is only known at run time would take longer. */
type Fields = Record<'freshUntil' | 'expiresAt' | 'id' | 'etag', Field | undefined>

interface Field {
  readonly at: number
  readonly length: number
}

/** What may differ. These bytes are not ASCII, as headers of families are. */
const marks = { firstDigit: 0x80, digit: 0x81, token: 0x82 } as const
const classes = ['[1-9]', '\\d', '[\\w-]']
/** By byte: a bit for each class that it belongs to. */
const classesOfBytes = Uint8Array.from({ length: 256 }, (_, byte) =>
  classes.reduce((bits, pattern, index) => {
    const isMember = byte < 0x80 && new RegExp(pattern).test(String.fromCharCode(byte))
    return isMember ? bits | (1 << index) : bits
  }, 0),
)

/** Digits of a time in epoch milliseconds, until the year 2286. */
const timeLength = 13
const maxFamilies = 3
/** Longer headers are parsed each time, in characters. */
const maxFamilyText = 1_000
/** How often a header without a family begins one, because that takes longer than to parse it. */
const renewalInterval = 256

const families: Family[] = []
let mismatches = 0

/**
 * Returns the header that begins at `start` and ends with 0x00. `undefined` if it has no end, or if one of its members has
 * the wrong type. Throws if it is not JSON text.
 */
export function readHeader(payload: string | Buffer, start: number): FrameHeader | undefined {
  for (const family of families) {
    if (isSimilar(payload, start, family)) return readSimilar(payload, start, family)
  }
  const end = typeof payload === 'string' ? payload.indexOf('\0', start) : payload.indexOf(0, start)
  if (end < 0) return undefined
  const text = textAt(payload, start, end - start, 'utf8')
  if (text === '' || text === '{}') return { facts: undefined, as: undefined, end: end + 1 }
  const members: unknown = JSON.parse(text)
  if (!areMembers(members)) return undefined
  if (mismatches++ % renewalInterval === 0) addFamily(text, members)
  return { facts: factsOf(members), as: members.as, end: end + 1 }
}

function isSimilar(payload: string | Buffer, start: number, { text, bytes }: Family): boolean {
  const last = start + bytes.length - 1
  if (typeof payload !== 'string') return payload[last] === 0 && hasBytes(payload, start, bytes)
  text.lastIndex = start
  return payload.charCodeAt(last) === 0 && text.test(payload)
}

function hasBytes(payload: Buffer, start: number, pattern: Uint8Array): boolean {
  for (let i = 0; i < pattern.length; i++) {
    const expected = pattern[i] as number
    const byte = payload[start + i] as number
    if (expected === byte && byte < 0x80) continue
    if (expected < 0x80) return false
    const bits = classesOfBytes[byte] as number
    if ((bits & (1 << (expected - 0x80))) === 0) return false
  }
  return true
}

function readSimilar(payload: string | Buffer, start: number, family: Family): FrameHeader {
  const end = start + family.bytes.length
  if (family.facts === undefined) return { facts: undefined, as: family.as, end }
  const { freshUntil, expiresAt, id, etag } = family.fields
  const facts: { -readonly [Name in keyof EntryFacts]: EntryFacts[Name] } = { ...family.facts }
  if (freshUntil !== undefined) facts.freshUntil = timeAt(payload, start + freshUntil.at)
  if (expiresAt !== undefined) facts.expiresAt = timeAt(payload, start + expiresAt.at)
  if (id !== undefined) facts.id = textAt(payload, start + id.at, id.length, 'latin1')
  if (etag !== undefined) facts.etag = textAt(payload, start + etag.at, etag.length, 'latin1')
  return { facts, as: family.as, end }
}

function addFamily(text: string, members: Members): void {
  // Other forms of the same header, such as one with a member that is repeated, are parsed each time.
  if (text.length > maxFamilyText || JSON.stringify(members) !== text) return
  if (Buffer.byteLength(text) !== text.length) return
  const fields: Fields = {
    freshUntil: undefined,
    expiresAt: undefined,
    id: undefined,
    etag: undefined,
  }
  const bytes = Buffer.from(`${text}\0`)
  let at = 1
  for (const [name, value] of Object.entries(members)) {
    at += JSON.stringify(name).length + 1
    const valueText = JSON.stringify(value)
    if (name === 'freshUntil' || name === 'expiresAt') {
      if (valueText.length === timeLength && /^[1-9]\d+$/.test(valueText)) {
        fields[name] = { at, length: timeLength }
        bytes.fill(marks.digit, at, at + timeLength)[at] = marks.firstDigit
      }
    } else if ((name === 'id' || name === 'etag') && /^"[\w-]+"$/.test(valueText)) {
      const length = valueText.length - 2
      fields[name] = { at: at + 1, length }
      bytes.fill(marks.token, at + 1, at + 1 + length)
    }
    at += valueText.length + 1
  }
  Object.freeze(members.tags)
  Object.freeze(members.parts)
  const facts = factsOf(members)
  families.unshift({ text: patternOf(bytes), bytes, facts, as: members.as, fields })
  families.length = Math.min(families.length, maxFamilies)
}

/** `undefined` if the format is the only member. */
function factsOf(members: Members): EntryFacts | undefined {
  if (members.as === undefined) return members
  const { as, ...facts } = members
  return Object.keys(facts).length > 0 ? facts : undefined
}

function patternOf(bytes: Buffer): RegExp {
  const literal = bytes.toString('latin1').replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  const toClass = (mark: string) => classes[mark.charCodeAt(0) - 0x80] as string
  return new RegExp(literal.replace(/[\x80-\x82]/g, toClass), 'y')
}

function textAt(
  payload: string | Buffer,
  start: number,
  length: number,
  encoding: 'latin1' | 'utf8',
): string {
  const end = start + length
  return typeof payload === 'string'
    ? payload.slice(start, end)
    : payload.toString(encoding, start, end)
}

/** In two parts, because V8 calculates faster with 31 bits. */
function timeAt(payload: string | Buffer, index: number): number {
  return typeof payload === 'string'
    ? digitsOfText(payload, index, 6) * 1e7 + digitsOfText(payload, index + 6, 7)
    : digitsOfBytes(payload, index, 6) * 1e7 + digitsOfBytes(payload, index + 6, 7)
}

function digitsOfText(text: string, index: number, length: number): number {
  let result = 0
  for (let i = index; i < index + length; i++) result = result * 10 + text.charCodeAt(i) - 48
  return result
}

function digitsOfBytes(bytes: Buffer, index: number, length: number): number {
  let result = 0
  for (let i = index; i < index + length; i++) result = result * 10 + (bytes[i] as number) - 48
  return result
}

function areMembers(header: unknown): header is Members {
  if (typeof header !== 'object' || header === null || Array.isArray(header)) return false
  const { id, isRewritten, freshUntil, expiresAt, etag, lastModified, as } = header as Record<
    string,
    unknown
  >
  const { tags, parts } = header as Record<string, unknown>
  return (
    isOptional('string', id) &&
    isOptional('boolean', isRewritten) &&
    isOptional('number', freshUntil) &&
    isOptional('number', expiresAt) &&
    isOptional('string', etag) &&
    isOptional('string', lastModified) &&
    isOptional('string', as) &&
    (tags === undefined || isStringRecord(tags)) &&
    (parts === undefined || (Array.isArray(parts) && isStringRecord(parts)))
  )
}

function isOptional(type: 'number' | 'string' | 'boolean', value: unknown): boolean {
  return value === undefined || typeof value === type
}

function isStringRecord(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((member) => typeof member === 'string')
  )
}
