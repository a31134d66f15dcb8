import { type ConfigurationEndpoint, configurationEndpoint } from '@stowage/testing'
import { type MemcachedProcess, startMemcached } from './memcached-process.ts'

/** A cluster on this machine: memcached servers, and a configuration endpoint like that of ElastiCache. */
export class Cluster {
  readonly #endpoint: ConfigurationEndpoint
  /** By node name. */
  readonly #servers: Map<string, MemcachedProcess>
  readonly #removed: MemcachedProcess[] = []

  static async start(names: readonly string[]): Promise<Cluster> {
    const servers = await Promise.all(
      names.map(async (name) => [name, await startMemcached('127.0.0.1')] as const),
    )
    const nodes = servers.map(([name, server]) => formatNode(name, server))
    return new Cluster(await configurationEndpoint({ nodes }), new Map(servers))
  }

  private constructor(endpoint: ConfigurationEndpoint, servers: Map<string, MemcachedProcess>) {
    this.#endpoint = endpoint
    this.#servers = servers
  }

  get address(): string {
    return `127.0.0.1:${this.#endpoint.port}`
  }

  /** Scales out. This increments the configuration version. */
  async add(name: string): Promise<void> {
    this.#servers.set(name, await startMemcached('127.0.0.1'))
    this.#endpoint.scale(this.#nodes)
  }

  /** Scales in. The server keeps running for clients that have not read the new configuration yet. */
  async remove(name: string): Promise<void> {
    const server = this.#servers.get(name)
    if (server !== undefined) this.#removed.push(server)
    this.#servers.delete(name)
    this.#endpoint.scale(this.#nodes)
  }

  /** Kills a node. The configuration still lists it, as on AWS until the failure is detected. */
  async kill(name: string): Promise<void> {
    await this.#servers.get(name)?.kill()
  }

  /** Starts a new, empty server for a node. Name and configuration version stay the same, the address changes. */
  async replace(name: string): Promise<void> {
    this.#servers.set(name, await startMemcached('127.0.0.2', this.#servers.get(name)?.port))
    this.#endpoint.nodes = this.#nodes
  }

  async stop(): Promise<void> {
    await this.#endpoint.stop()
    const servers = [...this.#servers.values(), ...this.#removed]
    await Promise.all(servers.map((server) => server.kill()))
  }

  get #nodes(): string[] {
    return [...this.#servers].map(([name, server]) => formatNode(name, server))
  }
}

/** The format of the cluster configuration: `name|ip|port`. */
function formatNode(name: string, { ip, port }: MemcachedProcess): string {
  return `${name}|${ip}|${port}`
}
