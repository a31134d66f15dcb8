/** A position in a replication stream. */
export interface ReplicationPosition {
  /** The replication ID; in a parsed token only its first characters. */
  readonly replicationId: string
  readonly offset: number
}

/** This many digits of a replication ID distinguish the streams of one deployment. */
const idDigits = 12
const pattern = /^[a-z]\d(:[0-9a-f]{12}\.\d{1,16})*$/

/**
 * Returns the positions as letters, digits, `:` and `.`, so that the token fits in a cookie.
 *
 * @param version of the driver: a letter and a digit
 */
export function formatToken(version: string, positions: readonly ReplicationPosition[]): string {
  const texts = positions.map(
    ({ replicationId, offset }) => `:${replicationId.slice(0, idDigits)}.${offset}`,
  )
  return version + texts.join('')
}

/** Returns `undefined` for a text that is not a token: tokens may come from untrusted clients. */
export function parseToken(version: string, token: string): ReplicationPosition[] | undefined {
  const [start, ...texts] = token.split(':')
  if (start !== version || !pattern.test(token)) return undefined
  return texts.map((text) => {
    const [replicationId = '', offset] = text.split('.')
    return { replicationId, offset: Number(offset) }
  })
}
