import type { EntryFacts } from './entry.ts'

/** The header of the frame of an entry: its facts, and the format of the body. */
export interface FrameHeader extends EntryFacts {
  readonly as?: string
}

/** Where the times lie in a header that begins with them, as long as they have 13 digits: until the year 2286. */
const freshUntilAt = '{"freshUntil":'.length
const expiresAtAt = freshUntilAt + 13 + ',"expiresAt":'.length
const restAt = expiresAtAt + 13
const times = '{"freshUntil":[1-9]\\d{12},"expiresAt":[1-9]\\d{12}'
const beginsWithTimes = new RegExp(`^\\${times}`)
/** How often one of the headers that do not match the pattern replaces it, because that takes longer than to parse it. */
const renewalInterval = 64

/** Headers that differ in the times only, as those of all entries with the same tags and versions. */
interface Family {
  readonly pattern: RegExp
  /** What the headers have in common. */
  readonly members: Omit<FrameHeader, 'freshUntil' | 'expiresAt'>
}

let lastFamily: Family | undefined
let mismatches = 0

/**
 * Returns the header in `text`, or `undefined` if one of its members has the wrong type. Throws if it is not JSON text.
 *
 * Headers that differ from the last one only in the times are not parsed as JSON, which would take most of the time of a
 * read of a small value.
 */
export function parseHeader(text: string): FrameHeader | undefined {
  if (text === '') return {}
  if (lastFamily?.pattern.test(text)) {
    const freshUntil = integerAt(text, freshUntilAt)
    return { freshUntil, expiresAt: integerAt(text, expiresAtAt), ...lastFamily.members }
  }
  const header: unknown = JSON.parse(text)
  if (!isHeader(header)) return undefined
  if (mismatches++ % renewalInterval === 0) lastFamily = familyOf(text, header) ?? lastFamily
  return header
}

/** Returns `undefined` if the header does not begin with the times, or repeats them. */
function familyOf(text: string, header: FrameHeader): Family | undefined {
  const { freshUntil, expiresAt, ...members } = header
  if (!beginsWithTimes.test(text)) return undefined
  if (integerAt(text, freshUntilAt) !== freshUntil) return undefined
  if (integerAt(text, expiresAtAt) !== expiresAt) return undefined
  Object.freeze(members.tags)
  const rest = text.slice(restAt).replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  return { pattern: new RegExp(`^\\${times}${rest}$`), members }
}

/** The integer of 13 digits that begins at `index`. In two parts, because V8 calculates faster with 31 bits. */
function integerAt(text: string, index: number): number {
  return digitsAt(text, index, 6) * 1e7 + digitsAt(text, index + 6, 7)
}

function digitsAt(text: string, index: number, length: number): number {
  let result = 0
  for (let i = index; i < index + length; i++) result = result * 10 + text.charCodeAt(i) - 48
  return result
}

function isHeader(header: unknown): header is FrameHeader {
  if (typeof header !== 'object' || header === null || Array.isArray(header)) return false
  const { id, isRewritten, freshUntil, expiresAt, etag, lastModified, as } = header as Record<
    string,
    unknown
  >
  const { tags, companions } = header as Record<string, unknown>
  return (
    isOptional('string', id) &&
    isOptional('boolean', isRewritten) &&
    isOptional('number', freshUntil) &&
    isOptional('number', expiresAt) &&
    isOptional('string', etag) &&
    isOptional('string', lastModified) &&
    isOptional('string', as) &&
    (tags === undefined || isStringRecord(tags)) &&
    (companions === undefined || (Array.isArray(companions) && isStringRecord(companions)))
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
