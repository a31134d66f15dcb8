import { spawnSync } from 'node:child_process'
import { chownSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Account, unprivilegedAccount } from '../process/account.ts'
import { atExit } from '../process/at-exit.ts'
import { freePort, startOnPort } from '../process/ports.ts'
import { probe } from '../process/probe.ts'
import { type ServerProcess, startServerProcess } from '../process/server-process.ts'
import { temporaryFolder } from '../process/temporary-folder.ts'
import { waitUntil } from '../process/wait-until.ts'

const remedy = 'install it: apt-get install postgresql'
/** Where Debian installs the programs of each version. They are not on the PATH. */
const debianFolder = '/usr/lib/postgresql'
// It recovers after it was killed.
const readyTimeoutMs = 60_000

/** Data that need not survive a crash of the machine, in little memory. */
const settings = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  shared_buffers: '32MB',
  max_wal_size: '256MB',
  // For standbys that have not received it yet. A checkpoint, which each copy of the data begins, removes it else.
  wal_keep_size: '128MB',
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
}

export interface PostgresServer extends ServerProcess {
  readonly port: number
  /** Of the superuser, who needs no password. */
  readonly url: string
  /** Kills the server if it runs, and starts it again with the same data on the same port. */
  readonly restart: () => Promise<void>
  /** Kills the server, and keeps its data for `restart`. Resolves when it has exited. */
  readonly crash: () => Promise<void>
}

export interface PostgresServerOptions {
  /** Further settings, for example `{ max_connections: '5' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Where the folder with its data is created. @default that of temporary files */
  readonly folder?: string
}

export interface PostgresStandbyOptions extends PostgresServerOptions {
  /** The port of the server to replicate. */
  readonly of: number
  /** Where it receives the WAL from, for example the port of a proxy. @default of */
  readonly through?: number
  /** Its name in `synchronous_standby_names`. @default 'standby' */
  readonly name?: string
}

/**
 * Starts PostgreSQL on a free loopback port, with a new database in a folder of its own. It is killed when this process
 * exits, and its folder is removed, also by `stop()`.
 */
export function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  return start(options, (folder, account) => createData(folder, account))
}

/** Starts a standby with the data of another server. `SELECT pg_promote()` makes it a primary. */
export function startPostgresStandby({
  of,
  through = of,
  name = 'standby',
  settings: further,
}: PostgresStandbyOptions): Promise<PostgresServer> {
  const primary_conninfo = `host=127.0.0.1 port=${through} user=postgres application_name=${name}`
  // It then receives the WAL again at once when the connection was lost.
  const settings = { primary_conninfo, wal_retrieve_retry_interval: '100ms', ...further }
  return start({ settings }, (folder, account) => copyData(of, folder, account))
}

async function start(
  options: PostgresServerOptions,
  prepare: (folder: string, account: Account | undefined) => void,
): Promise<PostgresServer> {
  const account = unprivilegedAccount()
  const { path: folder, remove } = temporaryFolder('postgres', options.folder)
  if (account !== undefined) chownSync(folder, account.uid, account.gid)
  try {
    prepare(folder, account)
  } catch (error) {
    remove()
    throw error
  }
  return startOnPort(freePort, async (port) => {
    let running = await launch(folder, port, account, options)
    const stopped = () => killAll(running)
    const cancel = atExit(() => signalAll(running, 'SIGKILL'))
    return {
      get pid() {
        return running.pid
      },
      port,
      url: `postgres://postgres@127.0.0.1:${port}/postgres`,
      kill: (signal) => signalAll(running, signal),
      crash: stopped,
      restart: async () => {
        await stopped()
        running = await launch(folder, port, account, options)
      },
      stop: async () => {
        await stopped()
        cancel()
        remove()
      },
    }
  })
}

function createData(folder: string, account: Account | undefined): void {
  const init = ['-D', join(folder, 'data'), '-U', 'postgres', '-A', 'trust', '-E', 'UTF8']
  run('initdb', [...init, '--locale=C', '--no-sync', '--no-instructions'], folder, account)
}

function copyData(port: number, folder: string, account: Account | undefined): void {
  const source = ['-h', '127.0.0.1', '-p', `${port}`, '-U', 'postgres']
  const copy = ['-D', join(folder, 'data'), '-X', 'stream', '-c', 'fast', '--no-sync']
  run('pg_basebackup', [...source, ...copy, '--write-recovery-conf'], folder, account)
}

function run(
  name: string,
  args: readonly string[],
  folder: string,
  account: Account | undefined,
): void {
  const { status, error, stderr } = spawnSync(program(name), args, {
    cwd: folder,
    encoding: 'utf8',
    ...account,
  })
  if (status === 0) return
  if (error !== undefined) throw new Error(`PostgreSQL cannot be started: ${remedy}`)
  throw new Error(`${name} failed: ${stderr}`)
}

function launch(
  folder: string,
  port: number,
  account: Account | undefined,
  { settings: further = {} }: PostgresServerOptions,
): Promise<ServerProcess> {
  const args = Object.entries({ ...settings, ...further }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ])
  return startServerProcess({
    name: 'PostgreSQL',
    remedy,
    command: program('postgres'),
    args: ['-D', join(folder, 'data'), '-p', `${port}`, ...args],
    cwd: folder,
    account,
    isReady: () => acceptsConnections(port),
    readyTimeoutMs,
  })
}

/** The program of the newest version that is installed. */
function program(name: string): string {
  if (!existsSync(debianFolder)) return name
  const versions = readdirSync(debianFolder).sort((a, b) => Number(b) - Number(a))
  const paths = versions.map((version) => join(debianFolder, version, 'bin', name))
  return paths.find((path) => existsSync(path)) ?? name
}

/** A server that recovers accepts connections, and replies with an error. */
function acceptsConnections(port: number): Promise<boolean> {
  return probe({ port, tls: false, request: startupMessage(), reply: /^R/ })
}

/** Opens a session of the superuser: the length of the message, version 3.0 of the protocol, and parameters. */
function startupMessage(): string {
  const parameters = 'user\0postgres\0database\0postgres\0\0'
  return `\0\0\0${String.fromCharCode(8 + parameters.length)}\0\x03\0\0${parameters}`
}

/** The server has a process for each connection. When it is killed, these end too, unless they are stopped. */
function signalAll(server: ServerProcess, signal: NodeJS.Signals): void {
  server.kill(signal)
  for (const pid of childrenOf(server.pid)) {
    try {
      process.kill(pid, signal)
    } catch {
      // It has ended.
    }
  }
}

/** Resolves when all have ended: a new server does not start while a child uses the memory of the old one. */
async function killAll(server: ServerProcess): Promise<void> {
  // It then starts no more children.
  server.kill('SIGSTOP')
  const children = childrenOf(server.pid)
  await server.stop()
  for (const pid of children) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended.
    }
  }
  await waitUntil('the processes of PostgreSQL have ended', async () => !children.some(isRunning))
}

/** A process that has ended remains as a zombie until its parent has noticed. */
function isRunning(pid: number): boolean {
  try {
    return !/^.*\) [ZX] /s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return text.trim().split(' ').filter(Boolean).map(Number)
  } catch {
    return []
  }
}
