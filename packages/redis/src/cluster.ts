import { Watchdog } from '@stowage/core'
import slotOf from 'cluster-key-slot'
import { type RedisOptions as ClientOptions, Cluster, type Redis } from 'ioredis'
import { chunked } from './commands.ts'
import { BorrowedConnection, backOff, type Connection } from './connection.ts'
import { Readiness } from './readiness.ts'
import type { RedisClient, ResolvedOptions } from './redis-options.ts'
import type { Topology } from './topology.ts'

interface Address {
  readonly host: string
  readonly port: number
}

/**
 * A cluster: the client finds the master of each key's slot. Commands that name several keys are sent for each slot by
 * itself, those that concern all keys to every master.
 */
export class ClusterTopology implements Topology {
  readonly #connection: ClusterConnection

  constructor(nodes: readonly Address[], server: ClientOptions, options: ResolvedOptions) {
    this.#connection = new ClusterConnection(nodes, server, options)
  }

  primary(): Connection {
    return this.#connection
  }

  reader(): Connection {
    return this.#connection
  }

  async primaries(): Promise<readonly Connection[]> {
    await this.#connection.ready()
    return this.#connection.masters().map((node) => new BorrowedConnection(node))
  }

  /** Keys of one slot each: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags */
  groups(keys: readonly string[]): string[][] {
    const bySlot = new Map<number, string[]>()
    for (const key of keys) {
      const slot = slotOf(key)
      const group = bySlot.get(slot)
      if (group === undefined) bySlot.set(slot, [key])
      else group.push(key)
    }
    return [...bySlot.values()].flatMap(chunked)
  }

  writing(): undefined {}

  close(): Promise<void> {
    return this.#connection.close()
  }
}

/** The connections to all nodes, which the client makes and chooses from. */
class ClusterConnection implements Connection {
  readonly client: RedisClient
  readonly #cluster: Cluster
  readonly #readiness: Readiness
  readonly #underWay = new Watchdog(Infinity, () => {})
  #lastError: unknown
  #corked = false

  constructor(nodes: readonly Address[], server: ClientOptions, options: ResolvedOptions) {
    this.#cluster = new Cluster([...nodes], clusterOptions(server, options))
    // It has the methods of a client of one server, with wider types.
    this.client = this.#cluster as unknown as RedisClient
    this.#readiness = new Readiness(this.#cluster)
    this.#cluster.on('error', (error) => this.#note(error))
    this.#cluster.on('node error', (error) => this.#note(error))
    // Without a queue the client refuses what comes while it connects to a node, so it has to connect before.
    this.#cluster.on('+node', (node: Redis) => {
      if (this.#cluster.status === 'ready') void connected(node)
    })
    this.#cluster.on('ready', () => void this.#nodesConnected())
    this.#cluster.on('close', () => this.#closed())
    this.#cluster.on('end', () => this.#closed())
  }

  masters(): Redis[] {
    return this.#cluster.nodes('master')
  }

  ready(): Promise<void> | undefined {
    return this.#readiness.ready()
  }

  wake(): boolean {
    return this.#readiness.wake()
  }

  begin(): void {
    this.#underWay.sent()
    this.#cork()
  }

  end(): void {
    this.#underWay.answered()
  }

  failed(error: unknown): unknown {
    return error
  }

  onChange(listener: (up: boolean) => void): void {
    this.#readiness.onChange(listener)
  }

  async close(): Promise<void> {
    await this.#readiness.decided()
    await this.#underWay.idle()
    this.#cluster.disconnect()
  }

  async #nodesConnected(): Promise<void> {
    await Promise.all(this.masters().map(connected))
    if (this.#cluster.status === 'ready') this.#readiness.succeeded()
  }

  #note(error: unknown): void {
    this.#lastError = error
  }

  #closed(): void {
    this.#readiness.closed(this.#lastError ?? new Error('no node of the cluster answers'))
  }

  /** Lets the commands of this tick leave in one write for each node. */
  #cork(): void {
    if (this.#corked) return
    this.#corked = true
    const streams = this.masters().map(({ stream }) => stream)
    for (const stream of streams) stream?.cork()
    process.nextTick(() => {
      this.#corked = false
      for (const stream of streams) stream?.uncork()
    })
  }
}

function clusterOptions(server: ClientOptions, { timeoutMs, connectTimeoutMs }: ResolvedOptions) {
  const { username, password, tls } = server
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: backOff,
    slotsRefreshTimeout: connectTimeoutMs + timeoutMs,
    // What was sent and not answered may have been executed: it is not sent again.
    retryDelayOnFailover: 0,
    retryDelayOnTryAgain: 20,
    retryDelayOnClusterDown: 0,
    maxRedirections: 8,
    // With TLS the names of the nodes are what their certificates say.
    ...(tls && { dnsLookup: keepName }),
    redisOptions: {
      commandTimeout: timeoutMs,
      socketTimeout: timeoutMs + 250,
      connectTimeout: connectTimeoutMs,
      disconnectTimeout: 100,
      keepAlive: 5_000,
      replyMapping: 'legacy' as const,
      ...(username !== undefined && { username }),
      ...(password !== undefined && { password }),
      ...(tls && { tls }),
    },
  }
}

/** Resolves when the node is connected, or cannot be: the client's own deadline bounds it. */
function connected(node: Redis): Promise<void> {
  if (node.status === 'wait') node.connect().catch(() => {})
  if (node.status === 'ready') return Promise.resolve()
  return new Promise((resolve) => {
    node.once('ready', resolve)
    node.once('close', resolve)
    node.once('end', resolve)
  })
}

function keepName(name: string, callback: (error: null, address: string) => void): void {
  callback(null, name)
}
