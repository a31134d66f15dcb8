import type { Connection } from '../connection/connection.ts'
import { isForbidden } from '../redis-errors.ts'

/** The replication state of a server. */
export interface ReplicationInfo {
  readonly role: 'master' | 'slave'
  /** Identifies the replication stream: offsets of different streams cannot be compared. */
  readonly replicationId: string
  /** Bytes of the stream that a primary has produced, or that a replica has applied (not just received). */
  readonly offset: number
  /** Whether a replica is connected to its primary. Always true for a primary. */
  readonly isLinked: boolean
  /** Whether the server has replicas, or has had some in the last `repl-backlog-ttl` (one hour by default). */
  readonly hasReplicas: boolean
}

/** `'unreachable'`: the server is disconnected or did not reply. `'forbidden'`: the user lacks the permission. */
export type ReplicationState = ReplicationInfo | 'unreachable' | 'forbidden'

/** Reads the replication section of https://redis.io/docs/latest/commands/info/. */
export async function readReplicationState(connection: Connection): Promise<ReplicationState> {
  if (!connection.tryConnect()) return 'unreachable'
  connection.begin()
  try {
    return parse(String(await connection.client.info('replication')))
  } catch (error) {
    return isForbidden(error) ? 'forbidden' : 'unreachable'
  } finally {
    connection.end()
  }
}

function parse(info: string): ReplicationState {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1]
  const replicationId = field('master_replid')
  if (replicationId === undefined) return 'unreachable'
  const isPrimary = field('role') === 'master'
  const offset = Number(field(isPrimary ? 'master_repl_offset' : 'slave_repl_offset'))
  if (Number.isNaN(offset)) return 'unreachable'
  const isLinked = isPrimary || field('master_link_status') === 'up'
  const hasReplicas = field('connected_slaves') !== '0' || field('repl_backlog_active') !== '0'
  return { role: isPrimary ? 'master' : 'slave', replicationId, offset, isLinked, hasReplicas }
}
