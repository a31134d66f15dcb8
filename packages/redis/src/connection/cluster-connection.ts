import { DeadlineError, InFlight, Watchdog } from '@stowage/core/driver'
import { type RedisOptions as ClientOptions, Cluster, type Redis } from 'ioredis'
import { backOff } from '../reconnect-delay.ts'
import type { Address, Credentials, RedisClient, ResolvedOptions } from '../redis-options.ts'
import { BorrowedConnection, type Connection, replicaTimeShare } from './connection.ts'
import { useCredentials } from './credentials.ts'
import { Readiness } from './readiness.ts'

/** The connections to all nodes, which the client makes and chooses from. */
export class ClusterConnection implements Connection {
  readonly client: RedisClient
  readonly #cluster: Cluster
  readonly #readiness: Readiness
  readonly #underWay = new InFlight()
  readonly #timeoutMs: number
  readonly #stopCredentials: () => void
  #credentials: Credentials | undefined
  #lastError: unknown
  #corked = false

  constructor(nodes: readonly Address[], server: ClientOptions, options: ResolvedOptions) {
    this.#timeoutMs = options.timeoutMs
    this.#cluster = new Cluster([...nodes], clusterOptions(server, options))
    // It has the methods of a client of one server, with wider types.
    this.client = this.#cluster as unknown as RedisClient
    this.#readiness = new Readiness(this.#cluster, options.timeoutMs / 2)
    this.#stopCredentials = this.#useCredentials(options)
    this.#cluster.on('error', (error) => this.#note(error))
    this.#cluster.on('node error', (error) => this.#note(error))
    // Without a queue the client refuses what comes while it connects to a node, so it has to connect before.
    this.#cluster.on('+node', (node: Redis) => {
      Object.assign(node.options, this.#credentials)
      if (this.#cluster.status === 'ready') void connected(node)
    })
    this.#cluster.on('ready', () => void this.#nodesConnected())
    this.#cluster.on('close', () => this.#closed())
    this.#cluster.on('end', () => this.#closed())
  }

  masters(): Redis[] {
    return this.#cluster.nodes('master')
  }

  /** Every node that is known, by `host:port`. */
  nodes(): Map<string, Redis> {
    const nodes = this.#cluster.nodes('all')
    return new Map(nodes.map((node) => [`${node.options.host}:${node.options.port}`, node]))
  }

  /** For each slot the nodes that serve it, as `host:port`, the master first. */
  get slots(): readonly (readonly string[] | undefined)[] {
    return this.#cluster.slots
  }

  /** Past the client's routing; `close()` waits for what is under way there too. */
  connectionTo(node: Redis): NodeConnection {
    return new NodeConnection(node, this.#underWay)
  }

  /** The same to a replica. */
  connectionToReplica(node: Redis): NodeConnection {
    return new ReplicaConnection(node, this.#underWay, this.#timeoutMs * replicaTimeShare)
  }

  /** Has `listener` told whenever the client has asked who serves which slots. */
  onRefresh(listener: () => void): void {
    this.#cluster.on('refresh', listener)
  }

  /** Has the client ask that. */
  refresh(): void {
    if (this.#cluster.status === 'ready') this.#cluster.refreshSlotsCache()
  }

  ready(): Promise<void> | undefined {
    return this.#readiness.ready()
  }

  wake(): boolean {
    return this.#readiness.wake()
  }

  begin(): void {
    this.#underWay.begin()
    this.#cork()
  }

  end(): void {
    this.#underWay.end()
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
    this.#stopCredentials()
    this.#readiness.end()
    this.#cluster.disconnect()
  }

  #useCredentials({ credentials, connectTimeoutMs }: ResolvedOptions): () => void {
    if (credentials === undefined) return () => {}
    return useCredentials(this.#cluster, {
      provide: credentials,
      timeoutMs: connectTimeoutMs,
      apply: (given) => {
        this.#credentials = given
        for (const node of this.nodes().values()) Object.assign(node.options, given)
      },
      nodes: () => [...this.nodes().values()].filter(({ status }) => status === 'ready'),
      failed: (error) => {
        this.#note(error)
        this.#readiness.failed(error)
      },
    })
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
      disconnectTimeout: 20,
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

/** One node of a cluster, past the client's routing: it answers for the slots it serves, and says so for others. */
export class NodeConnection extends BorrowedConnection {
  readonly node: Redis
  readonly #underWay: InFlight

  constructor(node: Redis, underWay: InFlight) {
    super(node)
    this.node = node
    this.#underWay = underWay
  }

  override wake(): boolean {
    if (this.node.status === 'wait') this.node.connect().catch(() => {})
    return this.node.status === 'ready'
  }

  override begin(): void {
    this.#underWay.begin()
  }

  override end(): void {
    this.#underWay.end()
  }

  override onChange(listener: (up: boolean) => void): void {
    this.node.on('ready', () => listener(true))
    this.node.on('close', () => listener(false))
  }

  /** The cluster's client ends it. */
  override async close(): Promise<void> {}
}

/** One that is hung up on while there is time left to ask the master. */
class ReplicaConnection extends NodeConnection {
  readonly #watchdog: Watchdog

  constructor(node: Redis, underWay: InFlight, timeoutMs: number) {
    super(node, underWay)
    this.#watchdog = new Watchdog(timeoutMs, () => node.stream?.destroy(new DeadlineError()))
  }

  override begin(): void {
    super.begin()
    this.#watchdog.begin()
  }

  override end(): void {
    super.end()
    this.#watchdog.end()
  }
}
