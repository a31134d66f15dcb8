import { countdown } from '@stowage/core/driver'
import { NoPrimaryError } from '../postgres-errors.ts'
import {
  destroyClient,
  type PostgresPool,
  type PostgresPoolClient,
  queryConfig,
  rowsOf,
} from './client.ts'
import type { Hosts } from './hosts.ts'
import { PoolClient } from './pool-client.ts'

/** The timeline of a primary, which each promotion increases; `null` for a standby. */
const role = `SELECT CASE WHEN NOT pg_is_in_recovery()
  THEN ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint END`

/** The client connected to one of several hosts. */
interface HostClient {
  readonly url: string
}

/**
 * Returns the class of clients that connect to the current host. The time for a connection is that of a call, so that each
 * host has a part of it.
 */
export function clientOf(
  hosts: Hosts,
  toConfig: (url: string) => { readonly connectionTimeoutMillis?: number | undefined },
): new () => object {
  return class extends PoolClient implements HostClient {
    readonly url: string

    constructor() {
      const url = hosts.current
      const config = toConfig(url)
      const { connectionTimeoutMillis = 0 } = config
      const ownShare = connectionTimeoutMillis / hosts.urls.length
      super({ ...config, connectionTimeoutMillis: ownShare })
      this.url = url
    }
  }
}

/** Calls `callback` without an error if the client is connected to the newest primary. */
export function verifyPrimary(
  hosts: Hosts,
  client: Pick<PostgresPoolClient, 'on' | 'query'>,
  timeoutMs: number,
  callback: (error?: Error) => void,
): void {
  const { url } = client as unknown as HostClient
  // The query reports it. Without a listener, a connection that is lost now would end the process.
  client.on('error', () => {})
  // A connection whose server has frozen would otherwise remain in use.
  const cancel = countdown(timeoutMs, () => destroyClient(client))
  client.query(queryConfig(role, [], undefined), (error, result) => {
    cancel()
    const timeline = error ? null : rowsOf(result)[0]?.[0]
    if (typeof timeline === 'string' && hosts.confirm(url, Number(timeline))) return callback()
    hosts.leave(url)
    callback(error ?? new NoPrimaryError())
  })
}

/** Tries each host once. Connections to a former primary are closed. */
export function connectToPrimary(pool: PostgresPool, hosts: Hosts): PostgresPool['connect'] {
  return (callback) => {
    let failure: Error | undefined
    const attempt = (left: number) => {
      const url = hosts.current
      pool.connect((error, client) => {
        if (client !== undefined) {
          if ((client as unknown as HostClient).url === hosts.current) callback(undefined, client)
          else {
            client.release(true)
            attempt(left)
          }
          return
        }
        // All connections are in use.
        if (/^timeout exceeded/.test(error?.message ?? '')) return callback(error, undefined)
        hosts.leave(url)
        if (!(failure instanceof NoPrimaryError)) failure = error
        if (left > 1) attempt(left - 1)
        else callback(failure, undefined)
      })
    }
    attempt(hosts.urls.length)
  }
}
