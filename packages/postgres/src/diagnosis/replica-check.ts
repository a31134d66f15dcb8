import {
  failureFinding,
  lagFact,
  lagFindings,
  measureLag,
  type ReplicationInfo,
} from '@stowage/core/internal'
import type { BackendReport, Finding } from '@stowage/core/tools'
import type { Executor } from '../connections/executor.ts'
import { statement } from '../connections/statement.ts'
import { translate } from '../postgres-errors.ts'
import { readReplicationState } from '../replication/replication-state.ts'

const readVersion = statement("SELECT current_setting('server_version')", { isRead: true })

const lagRemedy =
  'Check its disk, its network, and long queries on it (max_standby_streaming_delay).'

/** Looks at a server that should be a standby of the primary. Never rejects. Closes the executor. */
export async function checkReplica(
  address: string,
  executor: Executor,
  primary: ReplicationInfo,
): Promise<BackendReport> {
  const server = { address, role: 'replica' }
  try {
    const startedAt = performance.now()
    const [row] = await executor.run(readVersion, [])
    const latencyMs = performance.now() - startedAt
    const readState = () => readReplicationState(executor)
    const state = await readState()
    const problems = problemsOf(address, state, primary)
    const lag = problems.length === 0 ? await measureLag(readState, primary.offset) : undefined
    const facts = { version: row?.[0] ?? '', ...lagFact(lag) }
    return {
      servers: [{ ...server, isReachable: true, latencyMs, facts }],
      findings: [...problems, ...lagFindings('postgres-replica-lag', address, lag, lagRemedy)],
    }
  } catch (error) {
    return {
      servers: [{ ...server, isReachable: false, facts: {} }],
      findings: [failureFinding(address, translate(error, 'check'))],
    }
  } finally {
    void executor.close()
  }
}

function problemsOf(
  subject: string,
  state: Awaited<ReturnType<typeof readReplicationState>>,
  primary: ReplicationInfo,
): Finding[] {
  const finding = (
    code: string,
    severity: Finding['severity'],
    problem: string,
    remedy: string,
  ) => [{ code, severity, subject, problem, remedy }]
  if (typeof state === 'string') {
    const problem = 'The position of the replica cannot be read, so a lag is assumed (assumedLag).'
    const remedy = 'Grant EXECUTE on pg_control_system() and pg_last_wal_replay_lsn() to the role.'
    return finding('postgres-replica-position', 'warning', problem, remedy)
  }
  if (state.isPrimary) {
    const problem = 'The server is not a standby, but accepts writes of its own.'
    const remedy = 'Remove it from POSTGRES_REPLICAS, or make it a standby with pg_rewind.'
    return finding('postgres-replica-is-primary', 'error', problem, remedy)
  }
  if (!state.isLinked) {
    const problem = 'The replica is disconnected from its primary, and falls behind.'
    const remedy = 'Check the network between them, primary_conninfo, and the log of the replica.'
    return finding('postgres-replica-disconnected', 'warning', problem, remedy)
  }
  if (state.replicationId !== primary.replicationId) {
    const problem =
      'The replica is of another primary, or of another timeline, so it serves no reads.'
    const remedy =
      'List standbys of this primary only. After a failover, a role without pg_read_all_stats notices the timeline minutes later.'
    return finding('postgres-foreign-replica', 'warning', problem, remedy)
  }
  return []
}
