import { connect } from 'node:net'
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

/** Whether the client is in a transaction after its last statement. `undefined` before `pg` 8.21. */
export function isInTransaction(client: PostgresClient): boolean | undefined {
  const { getTransactionStatus } = client as { getTransactionStatus?(): string | null }
  const status = getTransactionStatus?.call(client) ?? undefined
  return status === undefined ? undefined : status !== 'I'
}

/** Closes the connection of a client, also to a server that does not reply. */
export function destroyClient(client: object): void {
  const { connection } = client as { connection?: { stream?: { destroy(): void } } }
  connection?.stream?.destroy()
}

const cancelTimeoutMs = 1_000
/** Identifies a request to cancel, in place of a version of the protocol. */
const cancelCode = 80877102

/**
 * Asks the server to cancel what it executes on a connection that is about to be closed. It does not notice otherwise: it would
 * hold locks, and a connection, for as long as it waits for a lock or a standby. The request has a connection of its own.
 * @see https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
 */
export function cancelStatement(client: object): void {
  const { host, port, processID, secretKey } = client as Partial<BackendKey>
  if (host === undefined || port === undefined) return
  if (typeof processID !== 'number' || typeof secretKey !== 'number') return
  const request = Buffer.alloc(16)
  for (const [index, value] of [request.length, cancelCode, processID, secretKey].entries()) {
    request.writeInt32BE(value, index * 4)
  }
  const socket = connect(
    host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port },
  )
  socket.on('error', () => {}).setTimeout(cancelTimeoutMs, () => socket.destroy())
  socket.unref().end(request)
}

/** What identifies the process of the server that serves a client of `pg`. */
interface BackendKey {
  readonly host: string
  readonly port: number
  readonly processID: number | null
  readonly secretKey: number | null
}
