import { randomBytes } from 'node:crypto'
import { SharedServer } from '../process/shared-server.ts'
import { startPostgres } from './postgres-server.ts'

/** A database of its own in a PostgreSQL that several test files share. */
export interface PostgresDatabase {
  /** Of the superuser, who needs no password. Roles are those of the whole server. */
  readonly url: string
  /** Stops the server, unless other files use it. */
  readonly stop: () => Promise<void>
}

// Each worker has several pools.
const server = new SharedServer('STOWAGE_SHARED_POSTGRES', () =>
  startPostgres({ settings: { max_connections: '300' } }),
)

/**
 * Resolves to an empty database. Its server is shared by all files of a test run, because a new one takes more than a second
 * of processor time: do not stop or freeze it, but start one with `startPostgres` for that.
 */
export async function sharedPostgres(): Promise<PostgresDatabase> {
  const { url, stop } = await server.use()
  const name = `test_${randomBytes(8).toString('hex')}`
  // Only here: its import takes longer than that of all else, and most processes that import this package do not need it.
  const { default: pg } = await import('pg')
  const client = new pg.Client(url)
  await client.connect()
  await client.query(`CREATE DATABASE ${name}`)
  await client.end()
  return { url: url.replace(/[^/]*$/, name), stop }
}

/** Lets the processes that this one starts share a PostgreSQL. Resolves to a function that stops it. */
export function sharePostgres(): Promise<() => Promise<void>> {
  return server.share()
}
