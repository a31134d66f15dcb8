import type { TopologyChange } from '@stowage/core'
import { DeadlineError } from '@stowage/core/driver'
import { publishTopology } from '@stowage/core/internal'
import { Connection, defaultItemBytes } from '../connection/connection.ts'
import type { WireOptions } from '../connection/wire.ts'
import { NodeError } from '../memcached-errors.ts'
import { type NodeAddress, nodeName } from '../node-address.ts'
import { binary } from '../protocol/binary-protocol.ts'
import { meta } from '../protocol/meta-protocol.ts'
import type { Protocol } from '../protocol/protocol.ts'
import { MetaConnection } from './meta-connection.ts'
import { PendingDeletes } from './pending-deletes.ts'
import { mayUseOtherProtocol } from './protocol-choice.ts'

const firstRetryMs = 10

export interface NodeOptions extends WireOptions {
  readonly protocol: 'auto' | 'binary' | 'meta'
  /** Longest pause between two attempts to reconnect to a node that is down. */
  readonly retryIntervalMs: number
  /** Called when the node has connected, was disconnected or is down. */
  readonly onStateChange: (node: Node) => void
}

/** `'idle'`: not connected, because no command has needed the node yet, or since its connection was lost. */
export type NodeState = 'idle' | 'connecting' | 'up' | 'down' | 'closed'

/**
 * A server and the one connection to it. The first command connects, and a lost connection is replaced when a command
 * needs it. After a failed attempt or a request that timed out, the node is down: commands fail at once, and attempts to
 * reconnect continue in the background until one succeeds.
 */
export class Node {
  address: NodeAddress
  /** Defined while the node is up. */
  connection: Connection | undefined
  /** Largest item that the server accepts; the default of memcached until the node has connected. */
  itemBytes: number = defaultItemBytes
  /** Kept by the pool when the node is removed. */
  readonly pendingDeletes: PendingDeletes
  readonly #options: NodeOptions
  readonly #protocols: readonly Protocol[]
  /** The protocol of the last connection, which is tried first. */
  #lastProtocol: Protocol | undefined
  #attempt: Promise<Connection> | undefined
  readonly #metaConnection: MetaConnection
  #rejection: Promise<never> | undefined
  #failure: Error | undefined
  #failedAttempts = 0
  #hasBeenConnected = false
  #retryTimer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(
    address: NodeAddress,
    options: NodeOptions,
    pendingDeletes: PendingDeletes = new PendingDeletes(),
  ) {
    this.address = address
    this.pendingDeletes = pendingDeletes
    this.#options = options
    this.#metaConnection = new MetaConnection(options)
    const { protocol } = options
    this.#protocols = [binary, meta].filter(({ name }) => protocol === 'auto' || protocol === name)
  }

  get state(): NodeState {
    if (this.#isClosed) return 'closed'
    if (this.connection !== undefined) return 'up'
    if (this.#failure !== undefined) return 'down'
    return this.#attempt === undefined ? 'idle' : 'connecting'
  }

  /** Why the node is down. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /** Connects if necessary. Settles in bounded time; rejects at once while the node is down. */
  connect(): Promise<Connection> {
    if (this.#isClosed) return Promise.reject(this.#named(new Error('the node was removed')))
    if (this.connection !== undefined) return Promise.resolve(this.connection)
    if (this.#failure !== undefined) return this.#rejectSoon(this.#failure)
    return this.#startAttempt()
  }

  /** Connects if necessary. Other than {@link connect}, makes an attempt at once while the node is down. */
  reconnect(): Promise<Connection> {
    if (this.state !== 'down') return this.connect()
    clearTimeout(this.#retryTimer)
    return this.#startAttempt()
  }

  /** Returns a connection with the meta protocol: the one of the node, or a second one. */
  async connectMeta(operation: string, key: string): Promise<Connection> {
    const connection = await this.connect()
    if (connection.protocol.getWithTtl !== undefined) return connection
    return this.#metaConnection.open(this.address, operation, key)
  }

  /** Deletes a key from the server, at the latest before the node serves requests again. */
  deleteLater(key: string): void {
    this.pendingDeletes.add(key)
    // An error ends the connection, and the next connection starts with the pending deletes.
    if (this.connection) this.pendingDeletes.send(this.connection).catch(() => {})
  }

  /** Closes the connection when no request is in flight. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#retryTimer)
    await this.#attempt?.catch(() => {})
    await Promise.all([this.connection?.drain(), this.#metaConnection.close()])
  }

  /** Rejects in the next turn of the event loop, so that a loop of retries does not keep timers and sockets waiting. */
  #rejectSoon(failure: Error): Promise<never> {
    this.#rejection ??= new Promise((_, reject) => {
      setImmediate(() => {
        this.#rejection = undefined
        reject(this.#named(failure))
      })
    })
    return this.#rejection
  }

  #named(failure: Error): NodeError {
    return new NodeError(nodeName(this.address), failure)
  }

  #startAttempt(): Promise<Connection> {
    this.#attempt ??= this.#open().then(
      (connection) => this.#onConnect(connection),
      (error) => this.#onConnectError(error),
    )
    return this.#attempt
  }

  /** Uses the first protocol that the server accepts, which may be another one after a restart. */
  async #open(): Promise<Connection> {
    const untried = [...this.#protocols].sort((a) => (a === this.#lastProtocol ? -1 : 0))
    for (;;) {
      const protocol = untried.shift() as Protocol
      const connection = new Connection(this.address, protocol, this.#options, (reason) =>
        this.#onDisconnect(connection, reason),
      )
      try {
        await connection.open()
        await this.pendingDeletes.send(connection)
        this.#lastProtocol = protocol
        return connection
      } catch (error) {
        // The cause is the original error: a request rejects with a CacheError.
        const reason = ((error as Error).cause ?? error) as Error
        connection.close()
        if (untried.length === 0 || !mayUseOtherProtocol(connection, reason)) throw reason
      }
    }
  }

  #onConnect(connection: Connection): Connection {
    this.#attempt = undefined
    if (connection.endReason !== undefined) return this.#onConnectError(connection.endReason)
    const usual = this.#hasBeenConnected ? 'reconnected' : 'connected'
    const change = this.#failure === undefined ? usual : 'up'
    this.#hasBeenConnected = true
    this.#failure = undefined
    this.#failedAttempts = 0
    this.connection = connection
    this.itemBytes = connection.itemBytes
    // Subscribers may make calls, which use this connection.
    this.#publish(change)
    this.#options.onStateChange(this)
    return connection
  }

  #onConnectError(reason: Error): never {
    this.#attempt = undefined
    this.#goDown(reason)
    throw this.#named(reason)
  }

  #onDisconnect(connection: Connection, reason: Error): void {
    if (this.connection !== connection) return
    this.connection = undefined
    if (!this.#isClosed) this.#publish('lost', reason)
    // A server that did not reply may not reply to the next request either, which would cost another timeout.
    if (reason instanceof DeadlineError) this.#goDown(reason)
    else this.#options.onStateChange(this)
  }

  #publish(change: TopologyChange, error?: unknown): void {
    publishTopology({ store: 'memcached', change, server: nodeName(this.address), error })
  }

  #goDown(reason: Error): void {
    if (this.#failure === undefined && !this.#isClosed) this.#publish('down', reason)
    // Later commands are not sent, so they must not be reported as timed out.
    this.#failure = reason instanceof DeadlineError ? new Error('the node is down') : reason
    if (this.#isClosed) return
    const pauseMs = Math.min(
      firstRetryMs * 2 ** this.#failedAttempts,
      this.#options.retryIntervalMs,
    )
    this.#failedAttempts++
    this.#retryTimer = setTimeout(
      () => this.#startAttempt().catch(() => {}),
      pauseMs * (0.75 + Math.random() / 2),
    ).unref()
    this.#options.onStateChange(this)
  }
}
