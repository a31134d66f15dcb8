const idPattern = /^([0-9a-z]{1,11})\.[\w-]{8}$/
const randomBytes = 6 // 8 characters of base64url

/** The longest text of an id: a safe integer in base 36, a dot and 8 random characters. */
export const longestIdText = 20

/**
 * Identifies a generation. Ids are ordered: the one with the higher number is newer, and between equal numbers the
 * random part decides, the same way in every process.
 */
export interface GenerationId {
  readonly number: number
  readonly text: string
}

export function createId(number: number): GenerationId {
  const random = Buffer.from(crypto.getRandomValues(new Uint8Array(randomBytes)))
  return { number, text: `${number.toString(36)}.${random.toString('base64url')}` }
}

/** The id that `text` stands for, or `undefined` for any other text. */
export function parseId(text: string): GenerationId | undefined {
  const digits = idPattern.exec(text)?.[1]
  if (digits === undefined) return undefined
  const number = Number.parseInt(digits, 36)
  return Number.isSafeInteger(number) ? { number, text } : undefined
}

export function isNewer(a: GenerationId, b: GenerationId): boolean {
  return a.number === b.number ? a.text > b.text : a.number > b.number
}

/** The newest of the ids, or `undefined` when there is none. */
export function newestOf(ids: Iterable<GenerationId | undefined>): GenerationId | undefined {
  let newest: GenerationId | undefined
  for (const id of ids) {
    if (id !== undefined && (newest === undefined || isNewer(id, newest))) newest = id
  }
  return newest
}
