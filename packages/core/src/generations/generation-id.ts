import { randomId } from '../values/random-id.ts'

const idPattern = /^([0-9a-z]{1,11})\.[\w-]{8}$/

/** Maximum length of the text of an id: a safe integer in base 36, a dot and 8 random characters. */
export const maxIdLength = 20

/**
 * Identifies a generation. Ids are ordered: the one with the higher number is newer. If the numbers are equal, the random
 * parts are compared, so that every process chooses the same id.
 */
export interface GenerationId {
  /** When the generation began, in epoch milliseconds; or that of the previous id plus one, if that is greater. */
  readonly number: number
  /** The id as it is stored, and contained in keys. */
  readonly text: string
}

/**
 * Creates an id newer than all before it, also than those that no copy holds any more. So its number is a time that all
 * processes share: with that of a clock that is ahead, the generation would win over later ones.
 *
 * @param time epoch milliseconds
 */
export function createIdAfter(id: GenerationId | undefined, time: number): GenerationId {
  const number = Math.max((id?.number ?? 0) + 1, time)
  return { number, text: `${number.toString(36)}.${randomId(8)}` }
}

/** Parses the text of an id. Returns `undefined` for any other text. */
export function parseId(text: string): GenerationId | undefined {
  const digits = idPattern.exec(text)?.[1]
  if (digits === undefined) return undefined
  const number = Number.parseInt(digits, 36)
  return Number.isSafeInteger(number) ? { number, text } : undefined
}

export function isNewer(a: GenerationId, b: GenerationId): boolean {
  return a.number === b.number ? a.text > b.text : a.number > b.number
}

/** Returns the newest of the ids, or `undefined` if there is none. */
export function newestOf(ids: Iterable<GenerationId | undefined>): GenerationId | undefined {
  let newest: GenerationId | undefined
  for (const id of ids) {
    if (id !== undefined && (newest === undefined || isNewer(id, newest))) newest = id
  }
  return newest
}
