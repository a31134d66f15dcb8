const pattern = /^([0-9a-z]{1,11}-[\w-]{8})\.([0-9a-z]{1,11}-[\w-]{8})$/
const randomBytes = 6 // 8 characters of base64url

/** The version of a tag. Versions are compared for equality only, so the clocks of processes need not agree. */
export interface TagVersion {
  /** Replaced when entries with the tag become invalid. */
  readonly hard: string
  /** Replaced when entries with the tag become stale. */
  readonly soft: string
}

/** @param invalidatedAt the time of the backend in epoch milliseconds; 0 for a new tag */
export function createVersion(invalidatedAt: number): TagVersion {
  const id = createId(invalidatedAt)
  return { hard: id, soft: id }
}

/** The text of a version, as it is stored. */
export function formatVersion({ hard, soft }: TagVersion): string {
  return `${hard}.${soft}`
}

/** Parses the text of a version, `hard.soft`. Returns `undefined` for any other text. */
export function parseVersion(text: string): TagVersion | undefined {
  const match = pattern.exec(text)
  return match === null ? undefined : { hard: match[1] as string, soft: match[2] as string }
}

/** The time of the backend when a part of a version was invalidated, in epoch milliseconds; 0 if it never was. */
export function invalidatedAt(part: string): number {
  return Number.parseInt(part.slice(0, part.indexOf('-')), 36)
}

function createId(time: number): string {
  const random = Buffer.from(crypto.getRandomValues(new Uint8Array(randomBytes)))
  return `${time.toString(36)}-${random.toString('base64url')}`
}
