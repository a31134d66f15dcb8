import { createHash } from 'node:crypto'
import type { ReplicationInfo, ReplicationState } from '@stowage/core/internal'
import { type Row, type StatementExecutor, statement } from '../connections/statement.ts'
import { sqlState } from '../postgres-errors.ts'

export const tokenVersion = 'p1'

/** State of a server. Positions in the WAL are bytes. */
export interface PostgresReplicationInfo extends ReplicationInfo {
  /** Whether standbys are connected to the server. */
  readonly hasReplicas: boolean
  /** When the last transaction that a standby has applied was committed, in epoch milliseconds; 0 if it is not known. */
  readonly appliedAt: number
}

type PostgresReplicationState = PostgresReplicationInfo | Exclude<ReplicationState, ReplicationInfo>

/**
 * Each promotion begins a new timeline. A standby knows its timeline from the WAL that it receives, which it shows to members
 * of `pg_read_all_stats` only, and later from its control file. The insert position of a primary is at or after all commits
 * that it has acknowledged.
 */
const describe = statement(
  `SELECT s.is_standby, (SELECT system_identifier FROM pg_control_system()),
    CASE WHEN s.is_standby THEN greatest(
      (SELECT timeline_id FROM pg_control_checkpoint()),
      (SELECT min_recovery_end_timeline FROM pg_control_recovery()),
      (SELECT received_tli FROM pg_stat_wal_receiver))
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,
    CASE WHEN s.is_standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn,
    NOT s.is_standby OR EXISTS (SELECT FROM pg_stat_wal_receiver),
    EXISTS (SELECT FROM pg_stat_replication),
    extract(epoch FROM pg_last_xact_replay_timestamp()) * 1000
  FROM (SELECT pg_is_in_recovery()) s (is_standby)`,
  { isRead: true },
)

/** Never rejects. `'forbidden'` also where a service replicates otherwise, and its standbys have no position. */
export async function readReplicationState(
  server: Pick<StatementExecutor, 'run'>,
): Promise<PostgresReplicationState> {
  try {
    const [row] = await server.run(describe, [])
    return row === undefined ? 'unreachable' : parse(row)
  } catch (error) {
    return sqlState(error) === '42501' ? 'forbidden' : 'unreachable'
  }
}

function parse([isStandby, system, timeline, position, isLinked, hasReplicas, at]: Row) {
  if (typeof position !== 'string') return 'forbidden'
  return {
    isPrimary: isStandby === 'f',
    replicationId: createHash('sha1').update(`${system}.${timeline}`).digest('hex'),
    offset: endOfRecord(Number(position)),
    isLinked: isLinked === 't',
    hasReplicas: hasReplicas === 't',
    appliedAt: Number(at ?? 0),
  }
}

const pageBytes = 8_192
/** Of a page of the WAL, and of the first one of a file. */
const pageHeaders: ReadonlySet<number> = new Set([24, 40])

/**
 * If the last record ends at the end of a page, the insert position is after the header of the next page, which a standby
 * does not reach before the next record.
 * @see XLogBytePosToRecPtr in src/backend/access/transam/xlog.c
 */
function endOfRecord(position: number): number {
  const inPage = position % pageBytes
  return pageHeaders.has(inPage) ? position - inPage : position
}
