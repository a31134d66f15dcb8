import { chownSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { unprivilegedAccount } from '../process/account.ts'
import { freePort, startOnPort } from '../process/ports.ts'
import { probe } from '../process/probe.ts'
import { type ServerProcess, startServerProcess } from '../process/server-process.ts'
import { temporaryFolder } from '../process/temporary-folder.ts'

export interface PgBouncer extends ServerProcess {
  readonly port: number
  readonly url: string
}

export interface PgBouncerOptions {
  /** The URL of a database that needs no password. */
  readonly url: string
  /** @default 'transaction' */
  readonly poolMode?: 'session' | 'transaction'
  /** How many connections it opens to the database. @default 2 */
  readonly poolSize?: number
  /** How many clients may connect. @default 1000 */
  readonly maxClients?: number
}

/** Starts PgBouncer in front of a database, on a free loopback port. It is killed when this process exits. */
export function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncer> {
  return startOnPort(freePort, (port) => launch(port, options))
}

async function launch(port: number, options: PgBouncerOptions): Promise<PgBouncer> {
  const account = unprivilegedAccount()
  const { path: folder, remove } = temporaryFolder('pgbouncer')
  if (account !== undefined) chownSync(folder, account.uid, account.gid)
  writeFileSync(join(folder, 'pgbouncer.ini'), settings(port, options))
  const server = await startServerProcess({
    name: 'PgBouncer',
    remedy: 'install it: apt-get install pgbouncer',
    command: 'pgbouncer',
    args: ['pgbouncer.ini'],
    cwd: folder,
    // Debian installs it where only root finds it.
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
    account,
    isReady: () => probe({ port, tls: false }),
    cleanUp: remove,
  })
  const url = new URL(options.url)
  url.port = `${port}`
  return { ...server, port, url: url.href }
}

function settings(
  port: number,
  { url, poolMode = 'transaction', poolSize = 2, maxClients = 1_000 }: PgBouncerOptions,
): string {
  const { hostname, port: serverPort, username } = new URL(url)
  return `[databases]
* = host=${hostname} port=${serverPort} user=${username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${poolMode}
default_pool_size = ${poolSize}
max_client_conn = ${maxClients}
`
}
