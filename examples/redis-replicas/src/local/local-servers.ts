import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Variables } from '@stowage/core/driver'
import { freePort } from '@stowage/example-shared'
import { DelayProxy } from './delay-proxy.ts'
import { RedisProcess } from './redis-process.ts'

const host = '127.0.0.1'

/** A primary and replicas on this machine. The replicas connect to the primary through delay proxies. */
export class LocalServers {
  readonly #folder: string
  readonly #primary: RedisProcess
  readonly #proxies: readonly DelayProxy[]
  readonly replicas: readonly RedisProcess[]

  static async start(replicaCount = 2): Promise<LocalServers> {
    const folder = await mkdtemp(join(tmpdir(), 'stowage-replicas-'))
    const primary = new RedisProcess(await freePort(), folder)
    await primary.start()
    await primary.waitUntilReady()
    const proxies = Array.from({ length: replicaCount }, () => new DelayProxy(primary.port))
    const replicas: RedisProcess[] = []
    for (const proxy of proxies) {
      const args = ['--replicaof', host, `${await proxy.listen()}`]
      replicas.push(new RedisProcess(await freePort(), folder, args))
    }
    await Promise.all(replicas.map((replica) => replica.start()))
    await Promise.all(replicas.map((replica) => replica.waitUntilReady()))
    return new LocalServers(folder, primary, proxies, replicas)
  }

  constructor(
    folder: string,
    primary: RedisProcess,
    proxies: readonly DelayProxy[],
    replicas: readonly RedisProcess[],
  ) {
    this.#folder = folder
    this.#primary = primary
    this.#proxies = proxies
    this.replicas = replicas
  }

  /** The environment variables for these servers. */
  get variables(): Variables {
    const [primary = '', ...replicas] = [this.#primary, ...this.replicas].map(
      ({ port }) => `${host}:${port}`,
    )
    return { REDIS_PRIMARY: primary, REDIS_REPLICAS: replicas.join(',') }
  }

  get delayMs(): number {
    return this.#proxies[0]?.delayMs ?? 0
  }

  set delayMs(ms: number) {
    for (const proxy of this.#proxies) proxy.delayMs = ms
  }

  async stop(): Promise<void> {
    await Promise.all([this.#primary, ...this.replicas].map((server) => server.kill()))
    for (const proxy of this.#proxies) proxy.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }
}
