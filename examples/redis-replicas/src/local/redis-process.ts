import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

const host = '127.0.0.1'
const readyTimeoutMs = 10_000
const notInstalled =
  'redis-server could not be started. Install it (apt-get install redis-server, or brew install redis), ' +
  'or use running servers: REDIS_PRIMARY=host:port REDIS_REPLICAS=host:port,host:port'

// The servers must not outlive this process.
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A redis-server on this machine, without persistence. */
export class RedisProcess {
  readonly port: number
  readonly #args: readonly string[]
  #child: ChildProcess | undefined
  #exited: Promise<void> | undefined

  constructor(port: number, folder: string, args: readonly string[] = []) {
    this.port = port
    const memoryOnly = ['--save', '', '--appendonly', 'no', '--repl-diskless-sync', 'no']
    const location = ['--port', `${port}`, '--bind', host, '--dir', folder]
    this.#args = [...location, ...memoryOnly, ...args]
  }

  get running(): boolean {
    return this.#child !== undefined
  }

  /** Resolves when the process was spawned. The server may not accept connections yet. */
  async start(): Promise<void> {
    const child = spawn('redis-server', this.#args, { stdio: 'ignore' })
    try {
      await once(child, 'spawn')
    } catch (cause) {
      throw new Error(notInstalled, { cause })
    }
    this.#child = child
    running.add(child)
    this.#exited = once(child, 'exit').then(() => {
      this.#child = undefined
      running.delete(child)
    })
  }

  /** Resolves when the server responds and, if it is a replica, is connected to its primary. */
  async waitUntilReady(): Promise<void> {
    const client = new Redis(this.port, host, { retryStrategy: () => 20 })
    client.on('error', () => {})
    const exited = this.#exited?.then(() => {
      throw new Error(`redis-server exited. Is port ${this.port} in use?`)
    })
    try {
      await Promise.race([waitForLink(client), exited])
    } finally {
      client.disconnect()
    }
  }

  /** Kills the process, like a crash. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#exited
  }
}

async function waitForLink(client: Redis): Promise<void> {
  const deadline = Date.now() + readyTimeoutMs
  while (!(await isLinked(client))) {
    if (Date.now() > deadline)
      throw new Error(`redis-server was not ready within ${readyTimeoutMs} ms.`)
    await sleep(20)
  }
}

async function isLinked(client: Redis): Promise<boolean> {
  try {
    return !/master_link_status:down/.test(await client.info('replication'))
  } catch {
    return false
  }
}
