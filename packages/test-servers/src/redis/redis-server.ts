import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, startOnPort } from '../process/ports.ts'
import { probe } from '../process/probe.ts'
import { type ServerProcess, startServerProcess } from '../process/server-process.ts'
import { temporaryFolder } from '../process/temporary-folder.ts'
import type { TlsFiles } from '../process/tls-files.ts'

// Allows the tests to run against a compatible server, for example valkey-server.
const program = process.env.STOWAGE_REDIS_SERVER ?? 'redis-server'
const noPersistence = ['--save', '', '--appendonly', 'no']

export interface RedisServer extends ServerProcess {
  readonly port: number
  readonly url: string
  /** Starts a new, empty server on the same port. */
  readonly restart: () => Promise<RedisServer>
}

export interface RedisServerOptions {
  /** @default a free port */
  readonly port?: number | undefined
  /** Further settings as command line arguments. */
  readonly args?: readonly string[]
  /** Content of the configuration file. The server gets its own copy, which it may rewrite. */
  readonly conf?: string | undefined
  /** With these files the server accepts TLS connections only. */
  readonly tls?: TlsFiles | undefined
}

/** Starts redis-server on a loopback port, without persistence. It is killed when this process exits. */
export function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  return startOnPort(options.port ?? freePort, (port) => launch(port, options))
}

async function launch(port: number, options: RedisServerOptions): Promise<RedisServer> {
  const { args = [], conf, tls } = options
  const { path: folder, remove } = temporaryFolder('redis')
  const file = conf === undefined ? [] : [writeConf(folder, conf)]
  const listen = [...portArgs(port, tls), '--bind', '127.0.0.1']
  const server = await startServerProcess({
    name: program,
    remedy: `install it: apt-get install ${program}`,
    command: program,
    args: [...file, ...listen, '--dir', folder, ...noPersistence, ...args],
    // A server that requires a password replies with NOAUTH.
    isReady: () =>
      probe({ port, tls: tls !== undefined, request: 'PING\r\n', reply: /^(\+PONG|-NOAUTH)/ }),
    cleanUp: remove,
  })
  const url = `${tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${port}`
  return { ...server, port, url, restart: () => startRedis({ ...options, port }) }
}

function writeConf(folder: string, conf: string): string {
  const path = join(folder, 'redis.conf')
  writeFileSync(path, conf)
  return path
}

function portArgs(port: number, tls: TlsFiles | undefined): string[] {
  if (tls === undefined) return ['--port', `${port}`]
  const { cert, key } = tls
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert]
  return ['--port', '0', '--tls-port', `${port}`, '--tls-auth-clients', 'no', ...files]
}
