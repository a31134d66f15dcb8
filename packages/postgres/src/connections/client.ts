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

/** Closes the connection of a client, also to a server that does not reply. */
export function destroyClient(client: object): void {
  const { connection } = client as { connection?: { stream?: { destroy(): void } } }
  connection?.stream?.destroy()
}
