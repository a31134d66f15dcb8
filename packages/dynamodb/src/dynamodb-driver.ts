import { withBatching } from '@stowage/core'
import {
  type ByteStore,
  consistencies,
  type Driver,
  type Env,
  withKeyOrder,
} from '@stowage/core/driver'
import type { StoreDiagnostics } from '@stowage/core/tools'
import { checkTable } from './diagnosis/table-check.ts'
import {
  type DynamoDBOptions,
  isTableName,
  type ResolvedOptions,
  resolveOptions,
  type TableMode,
  tableModes,
  tableNameRule,
} from './dynamodb-options.ts'
import { DynamoDBStore } from './dynamodb-store.ts'
import { LargeValueStore } from './large-values/large-value-store.ts'
import { RequestSender } from './requests/request-sender.ts'
import { prepareTable } from './table/table.ts'
import { Clients } from './transport/clients.ts'

/** Keys in a full batch, which is sent at once: repeated keys of a tick are then read once. */
const maxBatchKeys = 1_000

/**
 * Creates a store on a DynamoDB table. It connects with the first command.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for invalid options, TypeError for unknown ones
 * @example
 * const cache = new Cache(dynamodb({ table: 'cache', ensureTable: 'create' }), { ttl: '1d' })
 * await cache.set('k', { n: 1 }, { ttl: '10m' })
 * await cache.close()
 */
export function dynamodb(options: DynamoDBOptions): ByteStore {
  const resolved = resolveOptions(options)
  const { scan = false, batching = true } = options
  const items = new DynamoDBStore(createSender(options, resolved), resolved, { scan })
  const { largeValues } = resolved
  // Requests overtake each other, because each has a connection of its own.
  const store = withKeyOrder(
    largeValues === undefined ? items : new LargeValueStore(items, largeValues),
    { timeout: resolved.timeoutMs },
  )
  const batched = batching ? withBatching(store, { maxKeys: maxBatchKeys }) : store
  return Object.assign(batched, { diagnostics: diagnosticsOf(options, resolved) })
}

function diagnosticsOf(options: DynamoDBOptions, resolved: ResolvedOptions): StoreDiagnostics {
  const unprepared: ResolvedOptions = { ...resolved, ensureTable: 'off' }
  return {
    check: () => checkTable(createSender(options, unprepared), resolved),
    locate: async () => `table ${resolved.table}`,
  }
}

/**
 * Creates the table and enables its TTL where they are missing (`'create'`, the default), or only checks both
 * (`'verify'`). Never changes an existing key or TTL attribute. For scripts that set up an environment.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` with what is wrong, and the commands that create a valid table
 * @example
 * await ensureTable({ table: 'sessions', region: 'eu-central-1' })
 */
export async function ensureTable(
  options: Omit<DynamoDBOptions, 'ensureTable'>,
  mode: Exclude<TableMode, 'off'> = 'create',
): Promise<void> {
  const resolved = resolveOptions(options)
  const sender = createSender(options, resolved)
  try {
    await sender.run('ensureTable', () => prepareTable(sender, resolved.names, mode))
  } finally {
    await sender.close()
  }
}

function createSender(options: DynamoDBOptions, resolved: ResolvedOptions): RequestSender {
  const { table, endpoint, region } = options
  const { ensureTable: mode, names } = resolved
  const clients = new Clients(options, resolved.requestTimeoutMs)
  return new RequestSender({
    ...resolved,
    target: { table, endpoint, region },
    clock: clients.clock,
    createTransport: () => clients.createTransport(),
    region: () => clients.region(),
    ...(mode !== 'off' && {
      prepare: (sender: RequestSender) => prepareTable(sender, names, mode),
    }),
  })
}

/**
 * The driver, for a `DriverRegistry`.
 *
 * @example
 * const drivers = new DriverRegistry({ dynamodb: () => import('@stowage/dynamodb') })
 * const variables = { CACHE_DRIVER: 'dynamodb', CACHE_TABLE: 'cache' }
 * const caches = await cachesFromEnv(variables, drivers)
 */
const driver: Driver<DynamoDBOptions> = {
  name: 'dynamodb',
  foreignVariables: { DYNAMODB_CACHE_TABLE: 'CACHE_TABLE' },
  create: dynamodb,
  fromEnv(env: Env): DynamoDBOptions {
    const example = 'http://127.0.0.1:8000'
    return {
      table: tableFromEnv(env),
      region: env.text('AWS_REGION') ?? env.text('AWS_DEFAULT_REGION'),
      endpoint: env.url('DYNAMODB_ENDPOINT', ['http:', 'https:'], example)?.href,
      ensureTable: env.choice('DYNAMODB_ENSURE_TABLE', tableModes),
      // Another process may have written the session a moment ago.
      consistency:
        env.choice('DYNAMODB_CONSISTENCY', consistencies) ??
        (env.role === 'session' ? 'strong' : undefined),
      timeout: env.timeout('DYNAMODB_TIMEOUT'),
    }
  },
  backendId: ({ table, region, endpoint }) => JSON.stringify([table, region, endpoint]),
}

/** The table of the role, or that of the cache if the role has none. */
function tableFromEnv(env: Env): string {
  const own = `${env.role || 'cache'}_table`.toUpperCase()
  const variable = env.text(own) === undefined && env.text('CACHE_TABLE') ? 'CACHE_TABLE' : own
  const table = env.text(variable)
  if (isTableName(table)) return table
  const problem =
    table === undefined
      ? `is missing. Set it to the name of a table: ${tableNameRule}.`
      : `is not the name of a table. Use ${tableNameRule}.`
  env.problem(variable, problem)
  return ''
}

export default driver
