import type { Connection } from '../connection/connection.ts'
import { readReplicationState } from './replication-info.ts'

/** A position in a replication stream. */
export interface ReplicationPosition {
  /** The replication ID; in a parsed token only its first characters. */
  readonly replicationId: string
  readonly offset: number
}

const version = 'r1'
/** A replication ID has 40 hexadecimal digits. This many distinguish the streams of one deployment. */
const idDigits = 12
const pattern = /^r1(:[0-9a-f]{12}\.\d{1,16})*$/

/** The positions as letters, digits, `:` and `.`, so that the token fits in a cookie. */
export function formatToken(positions: readonly ReplicationPosition[]): string {
  const texts = positions.map(
    ({ replicationId, offset }) => `:${replicationId.slice(0, idDigits)}.${offset}`,
  )
  return version + texts.join('')
}

/** Returns `undefined` for a text that is not a token: tokens may come from untrusted clients. */
export function parseToken(token: string): ReplicationPosition[] | undefined {
  if (!pattern.test(token)) return undefined
  return token
    .split(':')
    .slice(1)
    .map((text) => {
      const [replicationId = '', offset] = text.split('.')
      return { replicationId, offset: Number(offset) }
    })
}

/**
 * A token for everything that these primaries have written so far. Another process must observe it to read that. Empty
 * if no primary has replicas.
 */
export async function readToken(primaries: readonly Connection[]): Promise<string> {
  const states = await Promise.all(primaries.map(readReplicationState))
  const positions = states.filter((state) => typeof state !== 'string')
  const isComplete = positions.length === states.length
  if (isComplete && positions.every(({ hasReplicas }) => !hasReplicas)) return ''
  // Unless all positions are known, the token has none: its observer waits for everything written until then.
  return formatToken(isComplete ? positions : [])
}
