import { formatToken } from '@stowage/core/internal'
import type { Connection } from '../connection/connection.ts'
import { readReplicationState } from './replication-info.ts'

export const tokenVersion = 'r1'

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
  return formatToken(tokenVersion, isComplete ? positions : [])
}
