import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

const host = '127.0.0.1'
const readyWithinMs = 10_000
const missing =
  'redis-server cannot be started. Install it (apt-get install redis-server, or brew install redis), ' +
  'or name servers that run: REDIS_PRIMARY=host:port REDIS_REPLICAS=host:port,host:port'

// Whatever way this process ends, its servers end with it.
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A redis-server on a free port of this machine, which keeps nothing on disk. */
export class RedisProcess {
  readonly port: number
  readonly #settings: readonly string[]
  #child: ChildProcess | undefined
  #ended: Promise<void> | undefined

  constructor(port: number, folder: string, settings: readonly string[] = []) {
    this.port = port
    const memoryOnly = ['--save', '', '--appendonly', 'no', '--repl-diskless-sync', 'no']
    const place = ['--port', `${port}`, '--bind', host, '--dir', folder]
    this.#settings = [...place, ...memoryOnly, ...settings]
  }

  get runs(): boolean {
    return this.#child !== undefined
  }

  /** Resolves once the program runs; it may not answer yet. */
  async start(): Promise<void> {
    const child = spawn('redis-server', this.#settings, { stdio: 'ignore' })
    try {
      await once(child, 'spawn')
    } catch (cause) {
      throw new Error(missing, { cause })
    }
    this.#child = child
    running.add(child)
    this.#ended = once(child, 'exit').then(() => {
      this.#child = undefined
      running.delete(child)
    })
  }

  /** Resolves once the server has its data, a replica that of its primary. */
  async ready(): Promise<void> {
    const client = new Redis(this.port, host, { retryStrategy: () => 20 })
    client.on('error', () => {})
    const ended = this.#ended?.then(() => {
      throw new Error(`redis-server ended at once. Is port ${this.port} taken?`)
    })
    try {
      await Promise.race([follows(client), ended])
    } finally {
      client.disconnect()
    }
  }

  /** At once, as a crash would be. */
  async stop(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.#ended
  }
}

/** Resolves once a replica is in touch with its primary. */
async function follows(client: Redis): Promise<void> {
  const deadline = Date.now() + readyWithinMs
  while (!(await isLinked(client))) {
    if (Date.now() > deadline) throw new Error(`redis-server is not ready in ${readyWithinMs} ms.`)
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

/** A port nobody listens on. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return (address as { port: number }).port
}
