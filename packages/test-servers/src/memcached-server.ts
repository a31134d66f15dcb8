import { userInfo } from 'node:os'
import { freePort, startOnPort } from './process/ports.ts'
import { probe } from './process/probe.ts'
import { type ServerProcess, startServerProcess } from './process/server-process.ts'
import type { TlsFiles } from './process/tls-files.ts'

export interface MemcachedServer extends ServerProcess {
  readonly port: number
  /** `host:port` */
  readonly address: string
  /** Starts a new, empty server on the same port. */
  readonly restart: () => Promise<MemcachedServer>
}

export interface MemcachedServerOptions {
  /** @default a free port */
  readonly port?: number | undefined
  /** Further command line arguments. `-B ascii`, for example, makes the server refuse the binary protocol. */
  readonly args?: readonly string[]
  /** With these files the server accepts TLS connections only. */
  readonly tls?: TlsFiles | undefined
  /** Environment variables, for example `SASL_CONF_PATH`. */
  readonly env?: Readonly<Record<string, string>>
}

/** Starts memcached on a loopback port. It is killed when this process exits. */
export function startMemcached(options: MemcachedServerOptions = {}): Promise<MemcachedServer> {
  return startOnPort(options.port ?? freePort, (port) => launch(port, options))
}

async function launch(port: number, options: MemcachedServerOptions): Promise<MemcachedServer> {
  const { args = [], tls, env = {} } = options
  const listen = ['-l', '127.0.0.1', '-p', `${port}`, '-U', '0']
  // As root, memcached refuses to start without the name of a user.
  const user = ['-u', userInfo().username]
  const server = await startServerProcess({
    name: 'memcached',
    remedy: 'install it: apt-get install memcached',
    command: 'memcached',
    args: [...user, ...listen, '-m', '64', ...tlsArgs(tls), ...args],
    env,
    isReady: () => probe({ port, tls: tls !== undefined }),
  })
  const restart = () => startMemcached({ ...options, port })
  return { ...server, port, address: `127.0.0.1:${port}`, restart }
}

function tlsArgs(files: TlsFiles | undefined): string[] {
  if (files === undefined) return []
  return ['-Z', '-o', `ssl_chain_cert=${files.cert},ssl_key=${files.key}`]
}
