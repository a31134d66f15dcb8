import { InFlight } from '@stowage/core/driver'
import { publishTopology } from '@stowage/core/internal'
import { type RedisOptions as ClientOptions, Cluster, type Redis } from 'ioredis'
import type { CommandClient } from '../../protocol/command-client.ts'
import { allowLateErrors } from '../../protocol/ioredis-internals.ts'
import { WriteCork } from '../../protocol/request-writer.ts'
import { reconnectDelay } from '../../reconnect-delay.ts'
import type { Credentials, RedisClient, ResolvedOptions } from '../../redis-options.ts'
import { ReconnectingConnection, replicaTimeoutShare } from '../connection.ts'
import { useCredentials } from '../credentials.ts'
import type { Address } from '../server-address.ts'
import { ClusterCommands, nameOf } from './cluster-commands.ts'
import { NodeConnection, ReplicaNodeConnection } from './node-connection.ts'

/** A cluster client, which manages the connections to all nodes and routes commands by slot. */
export class ClusterConnection extends ReconnectingConnection {
  readonly client: RedisClient
  /** The client chooses the server of each command. */
  readonly address: undefined
  readonly #cluster: Cluster
  readonly #inFlight = new InFlight()
  readonly #commands: ClusterCommands
  readonly #cork = new WriteCork()
  readonly #timeoutMs: number
  readonly #stopCredentials: () => void
  #credentials: Credentials | undefined
  #lastError: unknown

  constructor(nodes: readonly Address[], server: ClientOptions, options: ResolvedOptions) {
    const cluster = new Cluster([...nodes], clusterOptions(server, options))
    super(cluster, options.timeoutMs / 2)
    this.#timeoutMs = options.timeoutMs
    this.#cluster = cluster
    // It has the methods of a single server's client, with wider types.
    this.client = cluster as unknown as RedisClient
    this.#commands = new ClusterCommands(cluster, this.client, options.timeoutMs)
    this.#stopCredentials = useCredentials(cluster, options, {
      apply: (credentials) => this.#applyCredentials(credentials),
      connectedNodes: () => [...this.nodes().values()].filter(({ status }) => status === 'ready'),
      onError: (error) => this.#onCredentialsError(error),
    })
    cluster.on('error', (error) => this.#recordError(error))
    cluster.on('node error', (error) => this.#recordError(error))
    cluster.on('+node', (node: Redis) => this.#onNodeAdded(node))
    cluster.on('-node', (node: Redis) => publishNode('removed', node))
    cluster.on('ready', () => void this.#onReady())
    cluster.on('close', () => this.#onClose())
    cluster.on('end', () => this.#onClose())
  }

  masters(): Redis[] {
    return this.#cluster.nodes('master')
  }

  /** All known nodes, by `host:port`. */
  nodes(): Map<string, Redis> {
    const nodes = this.#cluster.nodes('all')
    return new Map(nodes.map((node) => [nameOf(node), node]))
  }

  /** The nodes that serve each slot, as `host:port`, the master first. */
  get slots(): readonly (readonly string[] | undefined)[] {
    return this.#cluster.slots
  }

  /** A connection that bypasses the client's routing. `close()` of the cluster waits for its commands too. */
  connectionTo(node: Redis): NodeConnection {
    return new NodeConnection(node, this.#directClientOf, this.#inFlight)
  }

  /** Like `connectionTo`, with the timeout of a replica. */
  connectionToReplica(node: Redis): NodeConnection {
    const timeoutMs = this.#timeoutMs * replicaTimeoutShare
    return new ReplicaNodeConnection(node, this.#directClientOf, this.#inFlight, timeoutMs)
  }

  /** Calls `listener` each time the client has refreshed its table of slots. */
  onSlotsRefreshed(listener: () => void): void {
    this.#cluster.on('refresh', listener)
  }

  refreshSlots(): void {
    if (this.#cluster.status === 'ready') this.#cluster.refreshSlotsCache()
  }

  beginCommand(isBatched = false): CommandClient {
    this.#inFlight.begin()
    if (this.#commands.isAvailable) return this.#commands
    this.#cork.hold(this.#streams, isBatched, this.#inFlight.count > 1)
    return this.client
  }

  endCommand(): void {
    this.#inFlight.end()
  }

  async close(): Promise<void> {
    await this.attemptSettled()
    await this.#inFlight.idle()
    this.#stopCredentials()
    this.stopReconnecting()
    this.#cluster.disconnect()
  }

  #applyCredentials(credentials: Credentials): void {
    this.#credentials = credentials
    for (const node of this.nodes().values()) Object.assign(node.options, credentials)
  }

  #onCredentialsError(error: Error): void {
    this.#recordError(error)
    this.markFailed(error)
  }

  #recordError(error: unknown): void {
    this.#lastError = error
  }

  /** Without an offline queue the client rejects commands while it connects to a node, so nodes connect in advance. */
  #onNodeAdded(node: Redis): void {
    allowLateErrors(node)
    Object.assign(node.options, this.#credentials)
    if (this.#cluster.status !== 'ready') return
    publishNode('added', node)
    void connectNode(node)
  }

  async #onReady(): Promise<void> {
    await Promise.all(this.masters().map((node) => this.#connectMaster(node)))
    if (this.#cluster.status === 'ready') this.markConnected()
  }

  async #connectMaster(node: Redis): Promise<void> {
    await connectNode(node)
    if (node.status === 'ready') await this.#directClientOf(node).open()
  }

  #onClose(): void {
    this.markClosed(this.#lastError ?? new Error('no node of the cluster is reachable'))
  }

  readonly #directClientOf = (node: Redis) => this.#commands.directNode(node).client

  readonly #streams = () => this.masters().flatMap(({ stream }) => stream ?? [])
}

function publishNode(change: 'added' | 'removed', node: Redis): void {
  publishTopology({ store: 'redis', change, server: nameOf(node) })
}

function clusterOptions(server: ClientOptions, { timeoutMs, connectTimeoutMs }: ResolvedOptions) {
  const { username, password, tls } = server
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: reconnectDelay,
    slotsRefreshTimeout: connectTimeoutMs + timeoutMs,
    // A command without a reply may have been executed: it is not sent again.
    retryDelayOnFailover: 0,
    // Such commands are split instead.
    retryDelayOnTryAgain: 1,
    retryDelayOnClusterDown: 0,
    maxRedirections: 8,
    // With TLS, the certificates contain the names of the nodes, so they must not be resolved.
    ...(tls && { dnsLookup: keepHostname }),
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

/** Resolves when the node is connected or has failed to connect; ioredis bounds the time. */
function connectNode(node: Redis): Promise<void> {
  if (node.status === 'wait') node.connect().catch(() => {})
  if (node.status === 'ready') return Promise.resolve()
  return new Promise((resolve) => {
    node.once('ready', resolve)
    node.once('close', resolve)
    node.once('end', resolve)
  })
}

function keepHostname(name: string, callback: (error: null, address: string) => void): void {
  callback(null, name)
}
