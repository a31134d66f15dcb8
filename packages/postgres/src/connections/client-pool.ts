import pg from 'pg'
import type { Parameter, Row } from './statement.ts'

export interface QueryConfig {
  readonly name?: string | undefined
  readonly text: string
  readonly values: readonly Parameter[]
  readonly rowMode: 'array'
  readonly types: unknown
}

/** The part of a client of `pg` that the store uses. With callbacks: the promises of `pg` cost a tenth of a call. */
export interface PostgresClient {
  query(
    config: QueryConfig,
    callback: (error: Error | null | undefined, result: { readonly rows: unknown[] }) => void,
  ): void
}

/** A client of a pool. */
export interface PostgresPoolClient extends PostgresClient {
  release(error?: Error | boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
}

/** The part of a `Pool` of `pg` that the store uses. */
export interface PostgresPool {
  connect(
    callback: (error: Error | undefined, client: PostgresPoolClient | undefined) => void,
  ): void
}

export interface ConnectionSettings {
  readonly url: string | undefined
  readonly password: string | (() => string | Promise<string>) | undefined
  readonly ssl: unknown
  readonly timeoutMs: number
  /** Whether a pooler assigns a server connection to each transaction. Then sessions have no settings. */
  readonly transactionPooling: boolean
}

export interface PoolSettings extends ConnectionSettings {
  readonly maxConnections: number
}

/** Connections that the store itself has opened. */
export interface OwnPool extends PostgresPool {
  /** Closes the connections that nothing uses. */
  end(): Promise<void>
  /** Closes all connections, also to a server that does not reply. */
  destroy(): void
}

/** Creates a pool. It connects when it is used. */
export function createPool(settings: PoolSettings): OwnPool {
  const clients = new Set<pg.PoolClient>()
  const pool = new pg.Pool({
    ...clientConfig(settings),
    max: settings.maxConnections,
    allowExitOnIdle: true,
  })
  // A connection that was lost while nothing used it. The next call opens another one.
  pool.on('error', () => {})
  pool.on('connect', (client) => void clients.add(client))
  pool.on('remove', (client) => void clients.delete(client))
  return {
    connect: (callback) => pool.connect(callback),
    end: () => pool.end(),
    destroy: () => {
      for (const client of clients) destroyClient(client)
    },
  }
}

/** The part of a client of `pg` that listens to a channel: the types of `pg` are not installed with this package. */
export interface ListeningClient {
  connect(): Promise<unknown>
  query(text: string): Promise<unknown>
  on(event: 'error' | 'end', listener: () => void): unknown
  on(event: 'notification', listener: (message: { payload?: string }) => void): unknown
  end(): Promise<void>
}

/** Creates a client, which connects with `connect()`. */
export function createClient(settings: ConnectionSettings): ListeningClient {
  return new pg.Client(clientConfig(settings)) as ListeningClient
}

function clientConfig(settings: ConnectionSettings): pg.ClientConfig {
  const { url, password, ssl, timeoutMs, transactionPooling } = settings
  return {
    ...(url !== undefined && { connectionString: withoutOptions(url) }),
    ...(password !== undefined && { password }),
    ...(ssl !== undefined && { ssl: ssl as NonNullable<pg.ClientConfig['ssl']> }),
    ...(!transactionPooling && { options: sessionOptions(url, timeoutMs) }),
    connectionTimeoutMillis: timeoutMs,
    keepAlive: true,
    application_name: 'stowage',
  }
}

/**
 * Settings of a session that executes nothing but the statements of the store. The server gives up when the store does.
 * A lock is waited for half as long, so that there is time to execute the calls of a batch one by one. Each statement is
 * planned once: its plan depends on the length of the arrays otherwise, and planning takes longer than executing. A plan that
 * was made when the table had a few rows must not read the whole table when it has many.
 */
function sessionOptions(url: string | undefined, timeoutMs: number): string {
  const own = [
    `statement_timeout=${timeoutMs}`,
    `lock_timeout=${Math.ceil(timeoutMs / 2)}`,
    'enable_seqscan=off',
    'plan_cache_mode=force_generic_plan',
    'default_transaction_isolation=read\\ committed',
  ]
  const given = url === undefined ? undefined : parameterOf(url, 'options')
  return [...own.map((setting) => `-c ${setting}`), ...(given ? [given] : [])].join(' ')
}

/** The client prefers parameters of the URL to its options. */
function withoutOptions(url: string): string {
  if (parameterOf(url, 'options') === undefined) return url
  const parsed = new URL(url)
  parsed.searchParams.delete('options')
  return parsed.href
}

function parameterOf(url: string, name: string): string | undefined {
  return URL.canParse(url) ? (new URL(url).searchParams.get(name) ?? undefined) : undefined
}

/** Closes the connection of a client, also to a server that does not reply. */
export function destroyClient(client: object): void {
  const { connection } = client as { connection?: { stream?: { destroy(): void } } }
  connection?.stream?.destroy()
}

/** Returns the values of all rows as the server sent them: the application may have changed how `pg` parses types. */
const asText = { length: 0, getTypeParser: () => (text: string) => text }

export function queryConfig(
  text: string,
  values: readonly Parameter[],
  name: string | undefined,
): QueryConfig {
  return { name, text, values, rowMode: 'array', types: asText }
}

export function rowsOf({ rows }: { readonly rows: unknown[] }): Row[] {
  return rows as Row[]
}
