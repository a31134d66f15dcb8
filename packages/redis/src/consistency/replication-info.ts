import type { ReplicationInfo, ReplicationState } from '@stowage/core/internal'
import type { Connection } from '../connection/connection.ts'
import { isForbidden } from '../redis-errors.ts'

/** The replication state of a server. */
export interface RedisReplicationInfo extends ReplicationInfo {
  /** Whether the server has replicas, or has had some in the last `repl-backlog-ttl` (one hour by default). */
  readonly hasReplicas: boolean
}

type RedisReplicationState = RedisReplicationInfo | Exclude<ReplicationState, ReplicationInfo>

/** Reads the replication section of https://redis.io/docs/latest/commands/info/. */
export async function readReplicationState(connection: Connection): Promise<RedisReplicationState> {
  if (!connection.tryConnect()) return 'unreachable'
  connection.beginCommand()
  try {
    return parse(String(await connection.client.info('replication')))
  } catch (error) {
    return isForbidden(error) ? 'forbidden' : 'unreachable'
  } finally {
    connection.endCommand()
  }
}

function parse(info: string): RedisReplicationState {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\r?$`, 'm').exec(info)?.[1]
  const replicationId = field('master_replid')
  if (replicationId === undefined) return 'unreachable'
  const isPrimary = field('role') === 'master'
  const offset = Number(field(isPrimary ? 'master_repl_offset' : 'slave_repl_offset'))
  if (Number.isNaN(offset)) return 'unreachable'
  const isLinked = isPrimary || field('master_link_status') === 'up'
  const hasReplicas = field('connected_slaves') !== '0' || field('repl_backlog_active') !== '0'
  return { isPrimary, replicationId, offset, isLinked, hasReplicas }
}
