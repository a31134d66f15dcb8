import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Variables } from '@stowage/core'
import { freePort, RedisProcess } from './redis-process.ts'
import { SlowWire } from './slow-wire.ts'

const host = '127.0.0.1'

/** A primary and two replicas of our own, which follow it over slow wires. */
export class LocalServers {
  readonly #folder: string
  readonly #primary: RedisProcess
  readonly #wires: readonly SlowWire[]
  readonly replicas: readonly RedisProcess[]

  static async start(count = 2): Promise<LocalServers> {
    const folder = await mkdtemp(join(tmpdir(), 'stowage-replicas-'))
    const primary = new RedisProcess(await freePort(), folder)
    await primary.start()
    await primary.ready()
    const wires = Array.from({ length: count }, () => new SlowWire(primary.port))
    const replicas: RedisProcess[] = []
    for (const wire of wires) {
      const settings = ['--replicaof', host, `${await wire.listen()}`]
      replicas.push(new RedisProcess(await freePort(), folder, settings))
    }
    await Promise.all(replicas.map((replica) => replica.start()))
    await Promise.all(replicas.map((replica) => replica.ready()))
    return new LocalServers(folder, primary, wires, replicas)
  }

  constructor(
    folder: string,
    primary: RedisProcess,
    wires: readonly SlowWire[],
    replicas: readonly RedisProcess[],
  ) {
    this.#folder = folder
    this.#primary = primary
    this.#wires = wires
    this.replicas = replicas
  }

  /** What an environment says that names these servers. */
  get variables(): Variables {
    const [primary = '', ...replicas] = [this.#primary, ...this.replicas].map(
      ({ port }) => `${host}:${port}`,
    )
    return { REDIS_PRIMARY: primary, REDIS_REPLICAS: replicas.join(',') }
  }

  get delayMs(): number {
    return this.#wires[0]?.delayMs ?? 0
  }

  set delayMs(ms: number) {
    for (const wire of this.#wires) wire.delayMs = ms
  }

  async stop(): Promise<void> {
    await Promise.all([this.#primary, ...this.replicas].map((server) => server.stop()))
    for (const wire of this.#wires) wire.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }
}
