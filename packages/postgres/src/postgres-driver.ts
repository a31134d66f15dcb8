import { isIP } from 'node:net'
import { withBatching } from '@stowage/core'
import {
  type ByteStore,
  consistencies,
  type Driver,
  type Env,
  withKeyOrder,
} from '@stowage/core/driver'
import { readFroms } from '@stowage/core/internal'
import type { StoreDiagnostics } from '@stowage/core/tools'
import { createPool } from './connections/client-pool.ts'
import { Executor, type ExecutorOptions } from './connections/executor.ts'
import { addressOf, hasKnownTarget, hostUrls } from './connections/hosts.ts'
import { TransactionExecutor } from './connections/transaction-executor.ts'
import { type CheckedServers, checkPostgres } from './diagnosis/postgres-check.ts'
import { itemStatements, transactionStatements } from './items/item-statements.ts'
import { translate } from './postgres-errors.ts'
import {
  minTableBytes,
  type PostgresOptions,
  type ResolvedPostgresOptions,
  resolveOptions,
  type TableMode,
  tableModes,
} from './postgres-options.ts'
import { PostgresStore, type PostgresStoreParts, type Upkeep } from './postgres-store.ts'
import { PrimaryReads } from './replication/primary-reads.ts'
import type { Reads } from './replication/reads.ts'
import { type ConnectReplica, ReplicatedReads } from './replication/replicated-reads.ts'
import { Server } from './replication/server.ts'
import { TransactionReads } from './replication/transaction-reads.ts'
import { prepareTable } from './table/table.ts'
import { TablePreparation } from './table/table-preparation.ts'
import { isTableName, tableNameRule } from './table-name.ts'
import { maxTransactionMs, type TransactionalStore } from './transactions/within.ts'
import { Sweep } from './upkeep/sweep.ts'

/** Larger items are sent alone: what is sent at once has to fit into the memory of both sides. */
const maxBatchedBytes = 64 * 1024

/**
 * Creates a store on a table of PostgreSQL. It connects with the first command.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options, TypeError for unknown ones
 * @example
 * const cache = new Cache(postgres({ url: process.env['DATABASE_URL'], ensureTable: 'create' }))
 * await cache.set('k', { n: 1 }, { ttl: '10m' })
 * await cache.close()
 */
export function postgres(options: PostgresOptions = {}): ByteStore {
  const resolved = resolveOptions(options)
  const preparation = new TablePreparation(resolved)
  const onError = (error: unknown) => preparation.onError(error)
  const { executor, reads } = createReads(
    { ...executorOptions(options, resolved), onError },
    options,
    resolved,
  )
  const statements = itemStatements(resolved.quotedTable)
  const upkeep = upkeepOf(executor, preparation, resolved)
  const { batching = true } = options
  const create = (parts: Omit<PostgresStoreParts, 'options'>) =>
    inOrder(new PostgresStore({ ...parts, options: resolved }), resolved, batching)
  const transactional: TransactionalStore = {
    '~within': (client) => {
      const transaction = new TransactionExecutor(client, resolved.timeoutMs)
      return create({
        executor: transaction,
        reads: new TransactionReads(transaction, reads, maxTransactionMs),
        statements: transactionStatements(resolved.quotedTable, maxTransactionMs),
        upkeep: { ...upkeep, close: async () => {} },
      })
    },
  }
  const diagnostics = diagnosticsOf(options, resolved)
  const store = create({ executor, reads, statements, upkeep })
  return Object.assign(store, { diagnostics, ...transactional })
}

/** Keeps the order of calls, and merges those of a turn. */
function inOrder(
  store: PostgresStore,
  { timeoutMs: timeout }: ResolvedPostgresOptions,
  batching: boolean,
): ByteStore {
  // Statements overtake each other, because they are executed on several connections.
  const ordered = withKeyOrder<ByteStore>(store, { timeout, overlap: ['add', 'increment'] })
  if (!batching) return ordered
  return withBatching(ordered, { maxSetBytes: maxBatchedBytes, overlap: true })
}

function diagnosticsOf(
  options: PostgresOptions,
  resolved: ResolvedPostgresOptions,
): StoreDiagnostics {
  return {
    check: (given) => checkPostgres(checkedServers(options, resolved), resolved, given),
    locate: async () => `table ${resolved.table}`,
  }
}

/**
 * Creates the table if it does not exist (`'create'`, the default), or only checks it (`'verify'`). For scripts that set up
 * an environment.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` with what is wrong, and the statement that creates a valid table; other codes if the
 * server cannot be used
 * @example
 * await ensureTable({ url: process.env['DATABASE_URL'], table: 'sessions', logged: true })
 */
export async function ensureTable(
  options: Omit<PostgresOptions, 'ensureTable'>,
  mode: Exclude<TableMode, 'off'> = 'create',
): Promise<void> {
  const resolved = resolveOptions(options)
  const executor = new Executor(executorOptions(options, resolved))
  try {
    await prepareTable(executor, resolved, mode)
  } catch (error) {
    throw translate(error, 'ensureTable')
  } finally {
    await executor.close()
  }
}

function checkedServers(
  options: PostgresOptions,
  resolved: ResolvedPostgresOptions,
): CheckedServers {
  const { password, ssl } = options
  // Two, to compare their sessions.
  const own = executorOptions(options, { ...resolved, maxConnections: 2 })
  return {
    pool: own.pool,
    executor: new Executor(own),
    replicas: [...new Set(resolved.replicaUrls)].map((url) => ({
      address: addressOf(url),
      connect: () => {
        const ownPool = createPool({ ...resolved, url, password, ssl, maxConnections: 1 })
        return new Executor({ ...resolved, pool: ownPool, ownPool })
      },
    })),
  }
}

/** With the pool of the application, or one of the store's own. */
function executorOptions(
  { pool, url, password, ssl }: PostgresOptions,
  resolved: ResolvedPostgresOptions,
): ExecutorOptions {
  if (pool !== undefined) {
    const given = typeof pool === 'function' ? pool() : pool
    return { ...resolved, pool: given, ownPool: undefined }
  }
  const ownPool = createPool({ ...resolved, url, password, ssl })
  return { ...resolved, pool: ownPool, ownPool }
}

function createReads(
  own: ExecutorOptions,
  options: PostgresOptions,
  resolved: ResolvedPostgresOptions,
): { readonly executor: Executor; readonly reads: Reads } {
  const { replicaUrls, readFrom } = resolved
  if (replicaUrls.length === 0 || readFrom === 'primary') {
    const executor = new Executor(own)
    return { executor, reads: new PrimaryReads(executor) }
  }
  const primary = new Server(own, true)
  const replicas = replicaUrls.map((url) => connectorTo(url, options, resolved))
  return { executor: primary, reads: new ReplicatedReads(primary, replicas, resolved) }
}

function connectorTo(
  url: string,
  { password, ssl }: PostgresOptions,
  resolved: ResolvedPostgresOptions,
): ConnectReplica {
  const { renewReplicasMs } = resolved
  const isHostname = isIP(new URL(url).hostname.replace(/^\[|\]$/g, '')) === 0
  return (onStateChange) => {
    let current: object | undefined
    const ownPool = createPool({
      ...resolved,
      url,
      password,
      ssl,
      maxConnections: 1,
      keepsIdle: true,
      maxLifetimeMs: isHostname ? renewReplicasMs : undefined,
      onStateChange: (client, isConnected) => {
        // The end of a connection may be reported after the next one was established.
        if (!isConnected && client !== current) return
        current = isConnected ? client : undefined
        onStateChange(isConnected)
      },
    })
    return new Server({ ...resolved, pool: ownPool, ownPool }, false, addressOf(url))
  }
}

function upkeepOf(
  executor: Executor,
  preparation: TablePreparation,
  resolved: ResolvedPostgresOptions,
): Upkeep {
  const sweep = new Sweep(executor, resolved)
  return {
    prepare: () => preparation.prepare(executor),
    onWrite: () => sweep.start(),
    close: () => sweep.close(),
  }
}

/**
 * The driver for `CACHE_DRIVER=postgres` and `SESSION_DRIVER=postgres`. Each role has a table of its own: that of sessions
 * is logged.
 *
 * @example
 * const registry = new DriverRegistry({ postgres: () => import('@stowage/postgres') })
 * const variables = { CACHE_DRIVER: 'postgres', DATABASE_URL: 'postgres://127.0.0.1/app' }
 * const configured = await cachesFromEnv(variables, registry)
 * await configured.close()
 */
const driver: Driver<PostgresOptions> = {
  name: 'postgres',
  create: postgres,
  fromEnv: (env) => ({
    url: urlFromEnv(env),
    table: tableFromEnv(env),
    logged: env.flag('POSTGRES_LOGGED') ?? env.role === 'session',
    ensureTable: env.choice('POSTGRES_ENSURE_TABLE', tableModes),
    // Nobody's session is deleted to make room.
    maxBytes: env.role === 'session' ? undefined : env.bytes('POSTGRES_MAX_BYTES', minTableBytes),
    maxConnections: env.integer('POSTGRES_MAX_CONNECTIONS', 1, 100),
    replicas: replicasFromEnv(env),
    replicaConnections: env.integer('POSTGRES_REPLICA_CONNECTIONS', 1, 20),
    readFrom: env.choice('POSTGRES_READ_FROM', readFroms),
    consistency: env.choice('POSTGRES_CONSISTENCY', consistencies),
    transactionPooling: env.flag('POSTGRES_TRANSACTION_POOLING'),
    timeout: env.timeout('POSTGRES_TIMEOUT'),
  }),
  backendId: ({ url, table }) => JSON.stringify([url, table]),
}
export default driver

/** `DATABASE_URL` is what the application itself, and services that host it, use. */
function urlFromEnv(env: Env): string | undefined {
  const name = env.text('POSTGRES_URL') === undefined ? 'DATABASE_URL' : 'POSTGRES_URL'
  const text = env.text(name)
  const [first = text] = (text !== undefined && hostUrls(text)) || []
  const example = 'postgres://user:password@host:5432/database'
  // Not a valid URL otherwise: several hosts, or none, as for a socket.
  const url = text === first ? env.url(name, ['postgres:', 'postgresql:'], example)?.href : text
  if (url !== undefined && !hasKnownTarget(url)) {
    env.problem(name, 'has a target_session_attrs other than read-write and primary. Remove it.')
  }
  return url
}

/** Standbys do not have UNLOGGED tables. A role with a server of its own does not use the replicas of the others. */
function replicasFromEnv(env: Env): string[] | undefined {
  const text = env.text('POSTGRES_REPLICAS')
  const isOther = env.isOwn('POSTGRES_URL') && !env.isOwn('POSTGRES_REPLICAS')
  const isLogged = env.flag('POSTGRES_LOGGED') ?? env.role === 'session'
  if (text === undefined || isOther || !isLogged) return undefined
  const replicas = text.split(',').map((each) => each.trim())
  if (urlFromEnv(env) !== undefined && replicas.every((each) => /^[^/@?#,\s]+$/.test(each))) {
    return replicas
  }
  env.problem(
    'POSTGRES_REPLICAS',
    'is not a list of addresses beside POSTGRES_URL. Use host:port, separated by commas.',
  )
  return undefined
}

/** Roles do not share a table: that of the cache is not logged. */
function tableFromEnv(env: Env): string {
  const isSession = env.role === 'session'
  const variable = isSession ? 'SESSION_TABLE' : 'CACHE_TABLE'
  const table = env.text(variable) ?? (isSession ? 'stowage_sessions' : 'stowage_cache')
  if (!isTableName(table)) env.problem(variable, `is not valid. Use ${tableNameRule}.`)
  return table
}
