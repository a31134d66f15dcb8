import type { CacheError } from '@stowage/core'
import { clockSkewFinding, failureFinding } from '@stowage/core/internal'
import type { BackendReport, CheckOptions, Finding } from '@stowage/core/tools'
import type { PostgresPool } from '../connections/client.ts'
import type { Executor } from '../connections/executor.ts'
import { statement } from '../connections/statement.ts'
import { sqlState, translate } from '../postgres-errors.ts'
import type { ResolvedPostgresOptions } from '../postgres-options.ts'
import { readReplicationState } from '../replication/replication-state.ts'
import { missingTable, tableProblem } from '../table/table.ts'
import { isTransactionPooled } from './pool-mode.ts'
import { checkReplica } from './replica-check.ts'

const requests = 3
const oldestVersion = 130_000
/** Shares of `max_connections`, and of the rows of a table, from which a finding is reported. */
const maxConnectionShare = 0.8
const maxDeadShare = 2
const minDeadRows = 10_000
/** A sweep is due every minute by default. */
const maxSweepDelayMs = 3_600_000

const read = (text: string) => statement(text, { isRead: true })

const describeServer =
  read(`SELECT current_setting('server_version'), current_setting('server_version_num'),
  pg_is_in_recovery(), current_setting('max_connections'), current_setting('synchronous_commit'),
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), extract(epoch FROM clock_timestamp()) * 1000,
  current_setting('statement_timeout')`)

const describePrivileges =
  read(`SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
  WHERE NOT has_table_privilege(to_regclass($1), p)`)

/** `NULL` if the schema does not exist. */
const describeSchema =
  read(`SELECT schema, has_schema_privilege(to_regnamespace(quote_ident(schema)), 'CREATE')
  FROM (SELECT CASE WHEN cardinality(name) = 2 THEN name[1] ELSE current_schema() END AS schema
    FROM parse_ident($1) name) named`)

const describeRows = read(`SELECT s.n_live_tup, s.n_dead_tup, pg_total_relation_size(s.relid)
  FROM pg_stat_all_tables s WHERE s.relid = to_regclass($1)`)

const describeSweep = (table: string) =>
  read(`SELECT extract(epoch FROM clock_timestamp() - t.expires_at) * 1000
    FROM ${table} t WHERE t.key = ''`)

/** How many connections the role may open, as far as a limit applies to it. */
const describeLimit = read(`SELECT least(
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user),
    (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()))`)

/** What a check connects to. */
export interface CheckedServers {
  readonly pool: PostgresPool
  readonly executor: Executor
  /** Opens a connection to each replica. */
  readonly replicas: readonly { readonly address: string; readonly connect: () => Executor }[]
}

interface Subject {
  readonly address: string
  readonly executor: Executor
  readonly options: ResolvedPostgresOptions
  readonly holdsSessions: boolean
}

/** Looks at the servers and the table. Never rejects. Closes the executor. */
export async function checkPostgres(
  { executor, pool, replicas }: CheckedServers,
  options: ResolvedPostgresOptions,
  { holdsSessions = false }: CheckOptions = {},
): Promise<BackendReport> {
  const address = options.table
  const subject = { address, executor, options, holdsSessions }
  try {
    const { facts, findings, latencyMs } = await checkServer(subject)
    const limits = await checkConnections(subject, pool)
    const table = await checkTable(subject)
    const primary = await readReplicationState(executor)
    const reports =
      typeof primary === 'string'
        ? []
        : await Promise.all(
            replicas.map((each) => checkReplica(each.address, each.connect(), primary)),
          )
    return {
      servers: [
        {
          address,
          role: 'table',
          isReachable: true,
          latencyMs,
          facts: { ...facts, ...table.facts },
        },
        ...reports.flatMap(({ servers }) => servers),
      ],
      findings: [
        ...findings,
        ...limits,
        ...table.findings,
        ...reports.flatMap((report) => report.findings),
      ],
    }
  } catch (error) {
    const failure = translate(error, 'check')
    return {
      servers: [{ address, role: 'table', isReachable: false, facts: {} }],
      findings: [failureOf(address, failure)],
    }
  } finally {
    void executor.close()
  }
}

async function checkServer({ address, executor, options, holdsSessions }: Subject) {
  const times: number[] = []
  let row: readonly (string | null)[] = []
  for (let count = 0; count < requests; count++) {
    const startedAt = performance.now()
    row = (await executor.run(describeServer, []))[0] ?? []
    times.push(performance.now() - startedAt)
  }
  const latencyMs = times.sort((a, b) => a - b)[requests >> 1]
  const [version, versionNumber, isStandby, maxConnections, commit, connections, time, timeout] =
    row
  const findings: Finding[] = []
  const report = (code: string, severity: Finding['severity'], problem: string, remedy: string) =>
    findings.push({ code, severity, subject: address, problem, remedy })
  if (isStandby === 't') {
    const remedy = 'Use the address of the primary.'
    report('postgres-standby', 'error', 'The server is a standby: writes fail.', remedy)
  }
  if (Number(versionNumber) < oldestVersion) {
    const problem = `The server is PostgreSQL ${version}.`
    report('postgres-version', 'error', problem, 'Use PostgreSQL 13 or later.')
  }
  if (Number(connections) > Number(maxConnections) * maxConnectionShare) {
    const problem = `${connections} of ${maxConnections} connections are in use.`
    const remedy = `Each process opens up to ${options.maxConnections}: lower maxConnections, raise max_connections, or use PgBouncer.`
    report('postgres-connections', 'warning', problem, remedy)
  }
  if (holdsSessions && commit === 'off') {
    const problem = 'synchronous_commit is off: a crash loses sessions that were acknowledged.'
    const remedy = 'ALTER ROLE <role> SET synchronous_commit = on'
    report('postgres-synchronous-commit', 'warning', problem, remedy)
  }
  if (options.transactionPooling && timeout === '0') {
    const problem =
      'The role has no statement_timeout: the server goes on when a call has given up.'
    const remedy = `ALTER ROLE <role> SET statement_timeout = '${options.timeoutMs}ms'`
    report('postgres-statement-timeout', 'warning', problem, remedy)
  }
  findings.push(...[clockSkewFinding(address, Number(time), latencyMs ?? 0) ?? []].flat())
  const facts = { version: version ?? '', role: isStandby === 't' ? 'standby' : 'primary' }
  return {
    facts: { ...facts, connections: `${connections} of ${maxConnections}` },
    findings,
    latencyMs,
  }
}

async function checkConnections(
  { address: subject, executor, options }: Subject,
  pool: PostgresPool,
): Promise<Finding[]> {
  const { maxConnections, transactionPooling, timeoutMs } = options
  const findings: Finding[] = []
  if (!transactionPooling && (await isTransactionPooled(pool, timeoutMs)) === true) {
    findings.push({
      code: 'postgres-pool-mode',
      severity: 'error',
      subject,
      problem:
        'A pooler assigns a connection to each transaction, so that statements fail at random.',
      remedy: 'Set transactionPooling: true (POSTGRES_TRANSACTION_POOLING=true).',
    })
  }
  const [row] = await executor.run(describeLimit, [])
  const limit = Number(row?.[0])
  if (maxConnections > limit) {
    findings.push({
      code: 'postgres-connection-limit',
      severity: 'error',
      subject,
      problem: `maxConnections is ${maxConnections}, and the server accepts ${limit} of this role.`,
      remedy: 'Lower maxConnections (POSTGRES_MAX_CONNECTIONS), or raise the limit.',
    })
  }
  return findings
}

async function checkTable({ address, executor, options, holdsSessions }: Subject) {
  const findings: Finding[] = []
  const report = (code: string, severity: Finding['severity'], problem: string, remedy: string) =>
    findings.push({ code, severity, subject: address, problem, remedy })
  const problem = await tableProblem(executor, options)
  if (problem === missingTable && options.ensureTable === 'create') {
    const facts = { status: 'created by the first command' }
    return { facts, findings: await checkSchema(address, executor, options) }
  }
  if (problem !== undefined) {
    const remedy =
      'Create it with POSTGRES_ENSURE_TABLE=create, which takes effect with the first command, or with the statement of tableStatements().'
    report('postgres-table', 'error', `The table ${problem}.`, remedy)
    if (problem === missingTable || /columns/.test(problem))
      return { facts: { status: problem }, findings }
  }
  if (holdsSessions && !options.logged) {
    const text = 'The table of sessions is UNLOGGED: a crash of the server ends all sessions.'
    const remedy = `ALTER TABLE ${options.quotedTable} SET LOGGED, and set logged: true.`
    report('postgres-unlogged-sessions', 'error', text, remedy)
  }
  const denied = (await executor.run(describePrivileges, [options.quotedTable])).flat()
  if (denied.length > 0) {
    const names = denied.join(', ')
    const remedy = `GRANT ${names} ON ${options.quotedTable} TO <role>`
    report('postgres-permission', 'error', `The role lacks ${names}: calls fail.`, remedy)
  }
  const [live, dead, bytes] = (await executor.run(describeRows, [options.quotedTable]))[0] ?? []
  if (Number(dead) > minDeadRows && Number(dead) > Number(live) * maxDeadShare) {
    const text = `The table has ${dead} dead rows and ${live} others: autovacuum does not keep up.`
    const remedy = `VACUUM ${options.quotedTable}, and look for old transactions in pg_stat_activity.`
    report('postgres-bloat', 'warning', text, remedy)
  }
  if (!denied.includes('SELECT')) findings.push(...(await checkSweep(address, executor, options)))
  const size = `${(Number(bytes) / 1024 / 1024).toFixed(1)}M`
  return { facts: { rows: Number(live), memory: size }, findings }
}

/** The role needs a permission of the schema to create the table. */
async function checkSchema(
  subject: string,
  executor: Executor,
  { quotedTable }: ResolvedPostgresOptions,
): Promise<Finding[]> {
  const [row] = await executor.run(describeSchema, [quotedTable])
  const [schema, mayCreate] = row ?? []
  if (mayCreate === 't') return []
  return [
    {
      code: 'postgres-permission',
      severity: 'error',
      subject,
      problem: `The role may not create the table in the schema ${schema ?? 'of its search_path'}: the first command fails.`,
      remedy:
        'GRANT CREATE ON SCHEMA, or create the table with the statement of: npx @stowage/cli table sql',
    },
  ]
}

async function checkSweep(
  subject: string,
  executor: Executor,
  { quotedTable }: ResolvedPostgresOptions,
): Promise<Finding[]> {
  const [row] = await executor.run(describeSweep(quotedTable), [])
  if (row === undefined || Number(row[0]) < maxSweepDelayMs) return []
  const hours = Math.round(Number(row[0]) / 3_600_000)
  return [
    {
      code: 'postgres-sweep',
      severity: 'warning',
      subject,
      problem: `Expired rows have not been deleted for ${hours} h.`,
      remedy: 'They are deleted by any process that uses the store and writes. Start one.',
    },
  ]
}

/** Replies of the server to a check, by SQLSTATE: it is reachable, and the address is right. */
const refusals: Readonly<Record<string, Pick<Finding, 'code' | 'problem' | 'remedy'>>> = {
  '42501': {
    code: 'postgres-permission',
    problem: 'The role may not use the schema of the table.',
    remedy: 'GRANT USAGE ON SCHEMA <schema> TO <role>',
  },
  '3D000': {
    code: 'postgres-database',
    problem: 'The server does not have the database.',
    remedy: 'Check its name in POSTGRES_URL or DATABASE_URL.',
  },
  '53300': {
    code: 'postgres-connections',
    problem: 'The server has no connection left for the role.',
    remedy: 'Lower POSTGRES_MAX_CONNECTIONS, raise max_connections, or use PgBouncer.',
  },
}

function failureOf(subject: string, error: CacheError): Finding {
  const state = sqlState(error.cause)
  const refusal = state === undefined ? undefined : refusals[state]
  if (refusal !== undefined) return { severity: 'error', subject, ...refusal }
  if (!/password/.test(error.message)) return failureFinding(subject, error)
  return {
    code: 'authentication',
    severity: 'error',
    subject,
    problem: `The server rejects the role or its password${state ? ` (${state})` : ''}.`,
    remedy: 'Check user and password in POSTGRES_URL or DATABASE_URL.',
  }
}
