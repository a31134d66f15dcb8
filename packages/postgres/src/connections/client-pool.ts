import pg from 'pg'
import { destroyClient, type PostgresPool, type PostgresPoolClient } from './client.ts'
import { type Hosts, hostsOf, withAnyHost, withoutTarget } from './hosts.ts'
import { PoolClient } from './pool-client.ts'
import { clientOf, connectToPrimary, verifyPrimary } from './primary-pool.ts'

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
  /** Shared with other connections to the same hosts: what one notices is true for all. @default those of `url` */
  readonly hosts?: Hosts | undefined
  /** How long a connection is used at most, in milliseconds. */
  readonly maxLifetimeMs?: number | undefined
  /** Whether connections stay open while nothing uses them. @default false: for 10 s */
  readonly keepsIdle?: boolean
  /** Called when a connection was established, or has ended. */
  readonly onStateChange?: ((client: object, isConnected: boolean) => void) | undefined
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
  const { url, maxConnections, maxLifetimeMs, keepsIdle, onStateChange } = settings
  const { hosts = hostsOf(url) } = settings
  const clients = new Set<pg.PoolClient>()
  const pool = new pg.Pool({
    ...clientConfig({ ...settings, url: hosts?.current ?? url }),
    Client: PoolClient as unknown as NonNullable<pg.PoolConfig['Client']>,
    max: maxConnections,
    allowExitOnIdle: true,
    ...(keepsIdle && { idleTimeoutMillis: 0 }),
    ...(maxLifetimeMs !== undefined && { maxLifetimeSeconds: maxLifetimeMs / 1_000 }),
    ...(hosts !== undefined && hostOptions(settings, hosts)),
  })
  // A connection that was lost while nothing used it. The next call opens another one.
  pool.on('error', () => {})
  pool.on('connect', (client) => {
    clients.add(client)
    onStateChange?.(client, true)
  })
  pool.on('release', (error, client) => {
    if (!error) return
    onStateChange?.(client, false)
    hosts?.leaveHostOf(client)
  })
  pool.on('remove', (client) => {
    clients.delete(client)
    onStateChange?.(client, false)
  })
  return {
    connect:
      hosts === undefined
        ? (callback) => pool.connect(callback)
        : connectToPrimary(pool as PostgresPool, hosts),
    end: () => pool.end(),
    destroy: () => {
      for (const client of clients) destroyClient(client)
    },
  }
}

/** Of several hosts, only the primary is used. */
function hostOptions(settings: ConnectionSettings, hosts: Hosts): pg.PoolConfig {
  const Client = clientOf(hosts, (url) => clientConfig({ ...settings, url }))
  return {
    Client: Client as NonNullable<pg.PoolConfig['Client']>,
    verify: (client, callback) =>
      verifyPrimary(hosts, client as PostgresPoolClient, settings.timeoutMs, callback),
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
  return new PoolClient(clientConfig(settings)) as ListeningClient
}

const tlsParameters = ['ssl', 'sslmode', 'sslcert', 'sslkey', 'sslrootcert']

function clientConfig(settings: ConnectionSettings): pg.ClientConfig {
  const { password, ssl, timeoutMs, transactionPooling } = settings
  const url = settings.url === undefined ? undefined : withAnyHost(settings.url)
  const overridden = ['options', ...(ssl === undefined ? [] : tlsParameters)]
  return {
    ...(url !== undefined && { connectionString: without(overridden, withoutTarget(url)) }),
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
  // As with libpq, from the URL or a variable.
  const { PGOPTIONS } = process.env
  const given = (url === undefined ? undefined : parameterOf(url, 'options')) ?? PGOPTIONS
  return [...own.map((setting) => `-c ${setting}`), ...(given ? [given] : [])].join(' ')
}

/** The client prefers parameters of the URL to its options. */
function without(names: readonly string[], url: string): string {
  if (names.every((name) => parameterOf(url, name) === undefined)) return url
  const parsed = new URL(url)
  for (const name of names) parsed.searchParams.delete(name)
  return parsed.href
}

function parameterOf(url: string, name: string): string | undefined {
  return URL.canParse(url) ? (new URL(url).searchParams.get(name) ?? undefined) : undefined
}
