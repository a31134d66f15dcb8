import { type ConfigurationEndpoint, configurationEndpoint } from '@stowage/testing'
import { type Server, startServer } from './server.ts'

/** A cluster on this machine: memcached servers, and an endpoint that tells them as ElastiCache does. */
export class Cluster {
  readonly #endpoint: ConfigurationEndpoint
  /** By the name of the node. */
  readonly #servers: Map<string, Server>
  /** Those that were taken out. */
  readonly #former: Server[] = []

  static async start(names: readonly string[]): Promise<Cluster> {
    const servers = await Promise.all(
      names.map(async (name) => [name, await startServer('127.0.0.1')] as const),
    )
    const nodes = servers.map(([name, server]) => written(name, server))
    return new Cluster(await configurationEndpoint({ nodes }), new Map(servers))
  }

  private constructor(endpoint: ConfigurationEndpoint, servers: Map<string, Server>) {
    this.#endpoint = endpoint
    this.#servers = servers
  }

  get address(): string {
    return `127.0.0.1:${this.#endpoint.port}`
  }

  /** Scales out. The version of the configuration rises. */
  async add(name: string): Promise<void> {
    this.#servers.set(name, await startServer('127.0.0.1'))
    this.#endpoint.scale(this.#nodes)
  }

  /** Scales in. The server goes on, for those who have not heard of it yet. */
  async remove(name: string): Promise<void> {
    const server = this.#servers.get(name)
    if (server !== undefined) this.#former.push(server)
    this.#servers.delete(name)
    this.#endpoint.scale(this.#nodes)
  }

  /** Ends a node. The list still has it, as on AWS until the failure is noticed there. */
  async kill(name: string): Promise<void> {
    await this.#servers.get(name)?.kill()
  }

  /** A new, empty server for a node: its name stays, and so does the version; its address is another one. */
  async replace(name: string): Promise<void> {
    this.#servers.set(name, await startServer('127.0.0.2', this.#servers.get(name)?.port))
    this.#endpoint.nodes = this.#nodes
  }

  async stop(): Promise<void> {
    await this.#endpoint.stop()
    const servers = [...this.#servers.values(), ...this.#former]
    await Promise.all(servers.map((server) => server.kill()))
  }

  get #nodes(): string[] {
    return [...this.#servers].map(([name, server]) => written(name, server))
  }
}

function written(name: string, { ip, port }: Server): string {
  return `${name}|${ip}|${port}`
}
