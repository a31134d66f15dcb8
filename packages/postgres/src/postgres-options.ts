import { CacheError, type Duration } from '@stowage/core'
import {
  checkBytes,
  checkChoice,
  checkInteger,
  checkOptionNames,
  checkTimeout,
} from '@stowage/core/driver'
import {
  type ReplicaOptions,
  type ResolvedReplicaOptions,
  replicaOptionNames,
  resolveReplicaOptions,
} from '@stowage/core/internal'
import type { PostgresPool } from './connections/client.ts'
import {
  hostUrls,
  requiresPrimary,
  withDatabaseOf,
  withHost,
  withoutTarget,
} from './connections/hosts.ts'
import { isTableName, quoted, tableNameRule } from './table-name.ts'

/** A number of bytes, or text with a unit: `'64MiB'`. */
type ByteSize = Parameters<typeof checkBytes>[1]

/**
 * What to do with the table before the first statement. `'verify'` checks its columns and whether it is logged;
 * `'create'` also creates a missing table; `'off'` does nothing.
 */
export type TableMode = (typeof tableModes)[number]
export const tableModes = ['off', 'verify', 'create'] as const

export interface PostgresOptions extends ReplicaOptions {
  /**
   * `postgres://user:password@host:5432/database`. Several hosts, separated by commas, are tried until one accepts writes, as
   * with `target_session_attrs=read-write` of libpq: after a failover, that is the new primary.
   * `?host=/folder` names the folder of a socket.
   * @default the variables of libpq: `PGHOST`, `PGDATABASE` and others
   */
  readonly url?: string | undefined
  /** The password, or a function that returns it for each new connection, as for tokens of AWS IAM. @default that of `url` */
  readonly password?: string | (() => string | Promise<string>) | undefined
  /** Whether to use TLS, or options of `tls.connect`. @default as in `url` */
  readonly ssl?: boolean | object | undefined
  /**
   * A `Pool` of `pg` of the application, or a function that returns one. `close()` leaves it open. Set its
   * `statement_timeout`: the server then gives up when the store does.
   */
  readonly pool?: PostgresPool | (() => PostgresPool) | undefined
  /** The table, also `schema.table`. Case-sensitive. @default 'stowage_cache' */
  readonly table?: string | undefined
  /**
   * Whether the table is logged: it survives a crash of the server, and standbys have it. An `UNLOGGED` table takes half
   * the work to write, and is empty after a crash. Must be as the table is.
   * @default false
   */
  readonly logged?: boolean | undefined
  /** @default 'off' */
  readonly ensureTable?: TableMode | undefined
  /** Largest value, in bytes. @default '16MiB' */
  readonly maxValueBytes?: ByteSize | undefined
  /**
   * How large the rows of the table may become, in bytes or as `'1GiB'`. Beyond it, the rows that were written longest ago
   * are deleted, except those of locks and limits. Not for sessions. The table itself takes about half as much more.
   * @default not limited
   */
  readonly maxBytes?: ByteSize | undefined
  /** How many connections the store opens at most, 1 to 100. All calls of a turn share a statement. @default 4 */
  readonly maxConnections?: number | undefined
  /** Deadline of a call, including the wait for a connection. A call waits at most as long for earlier calls of its key. @default '2s' */
  readonly timeout?: Duration | undefined
  /**
   * Whether a pooler such as PgBouncer is between, and assigns a connection to each transaction. Then no session has
   * settings, and statements are not prepared.
   * @default false
   */
  readonly transactionPooling?: boolean | undefined
  /** Whether statements are prepared once per connection. @default true without `transactionPooling` and `pool` */
  readonly preparedStatements?: boolean | undefined
  /**
   * Standbys that serve reads, as URLs or as `host:port` with the other settings of `url`. The database is always that of
   * `url`. Those that are promoted, or lag behind, are skipped. Requires a `logged` table: standbys do not have others.
   */
  readonly replicas?: readonly string[] | undefined
  /** Merge the calls of one turn of the event loop into one statement. @default true */
  readonly batching?: boolean | undefined
  /** How often expired rows are deleted. Reads never return them. @default '1m' */
  readonly sweepInterval?: Duration | undefined
}

const optionNames = {
  url: true,
  password: true,
  ssl: true,
  pool: true,
  table: true,
  logged: true,
  ensureTable: true,
  maxValueBytes: true,
  maxBytes: true,
  maxConnections: true,
  timeout: true,
  transactionPooling: true,
  preparedStatements: true,
  replicas: true,
  ...replicaOptionNames,
  batching: true,
  sweepInterval: true,
} as const

/** The options with their defaults, checked. */
export interface ResolvedPostgresOptions extends ResolvedReplicaOptions {
  readonly table: string
  /** For statements. */
  readonly quotedTable: string
  readonly logged: boolean
  readonly ensureTable: TableMode
  readonly maxValueBytes: number
  readonly maxBytes: number | undefined
  readonly maxConnections: number
  readonly timeoutMs: number
  readonly transactionPooling: boolean
  readonly preparedStatements: boolean
  /** A URL for each connection to a replica. */
  readonly replicaUrls: readonly string[]
  readonly sweepIntervalMs: number
}

/** The server accepts values of up to 1 GB, and needs several times as much memory for a statement with one. */
const largestValueBytes = 256 * 1024 * 1024

const maxReplicaConnections = 20

/** Some steps of the sweep, which evicts. */
export const minTableBytes: number = 1024 * 1024

/** @throws CacheError `ERR_CACHE_CONFIG` for invalid options, TypeError for unknown ones */
export function resolveOptions(options: PostgresOptions): ResolvedPostgresOptions {
  checkOptionNames<PostgresOptions>(
    'postgres',
    options,
    optionNames,
    "postgres({ url: 'postgres://127.0.0.1/app' })",
  )
  const { table = 'stowage_cache', logged = false, transactionPooling = false, pool } = options
  if (!isTableName(table)) throw configError(`table must be ${tableNameRule}`)
  checkConnection(options)
  const replicas = resolveReplicaOptions('postgres', options, maxReplicaConnections)
  return {
    table,
    quotedTable: quoted(table),
    logged,
    ensureTable: checkChoice('postgres: ensureTable', options.ensureTable ?? 'off', tableModes),
    maxValueBytes: checkBytes(
      'postgres: maxValueBytes',
      options.maxValueBytes ?? '16MiB',
      1,
      largestValueBytes,
    ),
    maxBytes:
      options.maxBytes === undefined
        ? undefined
        : checkBytes('postgres: maxBytes', options.maxBytes, minTableBytes),
    maxConnections: checkInteger('postgres: maxConnections', options.maxConnections ?? 4, 1, 100),
    timeoutMs: checkTimeout('postgres: timeout', options.timeout ?? '2s'),
    transactionPooling,
    preparedStatements: options.preparedStatements ?? (!transactionPooling && pool === undefined),
    ...replicas,
    replicaUrls: replicaUrlsOf(options, logged, replicas.replicaConnections),
    sweepIntervalMs: checkTimeout('postgres: sweepInterval', options.sweepInterval ?? '1m'),
  }
}

function checkConnection({ url, pool }: PostgresOptions): void {
  checkUrl(url)
  if (url !== undefined) requiresPrimary(hostUrls(url)?.[0] ?? url)
  if (url !== undefined && pool !== undefined) throw configError('pass either url or pool')
}

/** @throws CacheError `ERR_CACHE_CONFIG` */
export function checkUrl(url: unknown): void {
  if (url === undefined || isPostgresUrl(url)) return
  throw configError('url must be a URL such as postgres://user:password@host:5432/database')
}

function isPostgresUrl(url: unknown): boolean {
  return typeof url === 'string' && hostUrls(url) !== undefined
}

/** @throws CacheError `ERR_CACHE_CONFIG` for an invalid replica, and a table that replicas do not have */
function replicaUrlsOf(options: PostgresOptions, logged: boolean, count: number): string[] {
  const { url, replicas = [], transactionPooling = false, consistency } = options
  if (replicas.length === 0) return []
  if (!logged) {
    throw configError('replicas require logged: true, because standbys do not have UNLOGGED tables')
  }
  if (transactionPooling && consistency !== 'eventual') {
    throw configError(
      "replicas behind a pooler require consistency: 'eventual', because its connections change their server",
    )
  }
  return replicas.flatMap((replica) => Array<string>(count).fill(replicaUrl(replica, url)))
}

function replicaUrl(replica: string, url: string | undefined): string {
  const isUrl = isPostgresUrl(replica)
  const text = isUrl || url === undefined ? replica : withHost(url, replica)
  if (isUrl || (url !== undefined && /^[^/@?#,\s]+$/.test(replica))) {
    // A standby is not the primary that `target_session_attrs` requires.
    if (hostUrls(text)?.length === 1) {
      return withoutTarget(url === undefined ? text : withDatabaseOf(url, text))
    }
  }
  const remedy = url === undefined ? 'Use a URL' : 'Use host:port, or a URL'
  throw configError(`"${isUrl ? 'a URL' : replica}" is not the address of one replica. ${remedy}`)
}

function configError(reason: string): CacheError {
  return new CacheError('ERR_CACHE_CONFIG', `postgres: ${reason}.`)
}
