import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { type ByteStore, type Env, withBatching } from '@stowage/core'
import { consistencies, type Driver } from '@stowage/core/driver'
import {
  type DynamoDBClient as Client,
  type DynamoDBOptions,
  isTableName,
  type ResolvedOptions,
  resolveOptions,
  type TableMode,
  tableModes,
  tableRule,
} from './dynamodb-options.ts'
import { DynamoDBStore } from './dynamodb-store.ts'
import { LargeValues } from './large-values/large-value-store.ts'
import { Requests } from './requests/request-sender.ts'
import { ensure } from './table/table.ts'

const maxSockets = 128
/** Full batches leave at once, as many keys as a BatchGetItem takes. */
const maxKeys = 100

/** A store on a DynamoDB table. Connects with the first command. @throws CacheError `ERR_CACHE_CONFIG` */
export function dynamodb(options: DynamoDBOptions): ByteStore {
  const resolved = resolveOptions(options)
  const { scan = false, batching = true } = options
  const items = new DynamoDBStore(requestsOf(options, resolved), resolved, { scan })
  const { largeValues } = resolved
  const store = largeValues === undefined ? items : new LargeValues(items, largeValues)
  return batching ? withBatching(store, { maxKeys }) : store
}

/**
 * Sees to the table now, for a script that sets up an environment: creates it or its TTL where they are missing
 * (`'create'`, the default), or only checks both (`'verify'`). What is there is never changed.
 * @throws CacheError `ERR_CACHE_CONFIG` with what is wrong and the commands that make it right
 */
export async function ensureTable(
  options: Omit<DynamoDBOptions, 'ensureTable'>,
  mode: Exclude<TableMode, 'off'> = 'create',
): Promise<void> {
  const resolved = resolveOptions(options)
  const requests = requestsOf(options, resolved)
  try {
    await requests.run('ensureTable', () => ensure(requests, resolved.names, mode))
  } finally {
    await requests.close()
  }
}

function requestsOf(options: DynamoDBOptions, resolved: ResolvedOptions): Requests {
  const { table, endpoint, region } = options
  const { ensureTable: mode, names } = resolved
  const config = {
    ...resolved,
    target: { table, endpoint, region },
    ...(mode !== 'off' && { prepare: (requests: Requests) => ensure(requests, names, mode) }),
  }
  const { client } = options
  if (client !== undefined) {
    return new Requests({
      ...config,
      isTimed: false,
      client: () => borrowed(client),
      release: () => {},
    })
  }
  let own: DynamoDBClient | undefined
  const make = () => {
    own = ownClient(options, resolved.requestTimeoutMs)
    return own
  }
  return new Requests({ ...config, isTimed: true, client: make, release: () => own?.destroy() })
}

function borrowed(client: Client | (() => Client)): Client {
  return typeof client === 'function' ? client() : client
}

function ownClient({ region, endpoint }: DynamoDBOptions, requestTimeout: number): DynamoDBClient {
  const agent = { keepAlive: true, maxSockets }
  const client = new DynamoDBClient({
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    // Attempts are counted by us.
    maxAttempts: 1,
    // What is set up for a kind of request serves all later ones of the kind.
    cacheMiddleware: true,
    requestHandler: {
      httpAgent: agent,
      httpsAgent: agent,
      requestTimeout,
      // By default it only prints a warning.
      throwOnRequestTimeout: true,
    },
  })
  // It goes through every item of an answer to tell it to a logger, also to one that says nothing.
  client.middlewareStack.remove('loggerMiddleware')
  return client
}

const driver: Driver<DynamoDBOptions> = {
  name: 'dynamodb',
  create: dynamodb,
  fromEnv(env: Env): DynamoDBOptions {
    const example = 'http://127.0.0.1:8000'
    return {
      table: tableOf(env),
      region: env.text('AWS_REGION') ?? env.text('AWS_DEFAULT_REGION'),
      endpoint: env.url('DYNAMODB_ENDPOINT', ['http:', 'https:'], example)?.href,
      ensureTable: env.choice('DYNAMODB_ENSURE_TABLE', tableModes),
      // Another process may have written a session a moment ago.
      consistency:
        env.choice('DYNAMODB_CONSISTENCY', consistencies) ??
        (env.role === 'session' ? 'strong' : undefined),
    }
  },
  backendId: ({ table, region, endpoint }) => JSON.stringify([table, region, endpoint]),
}

/** The role's own table, else that of the cache. */
function tableOf(env: Env): string {
  const own = `${env.role || 'cache'}_table`.toUpperCase()
  const variable = env.text(own) === undefined && env.text('CACHE_TABLE') ? 'CACHE_TABLE' : own
  const table = env.text(variable)
  if (isTableName(table)) return table
  env.problem(variable, table === undefined ? `is missing. It ${tableRule}.` : `${tableRule}.`)
  return ''
}

export default driver
