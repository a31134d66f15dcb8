import { CacheError, type TopologyChange } from '@stowage/core'
import { countdown, type InFlight } from '@stowage/core/driver'
import { Deferred, publishTopology } from '@stowage/core/internal'
import type { Cluster, ClusterOptions, RedisOptions } from 'ioredis'
import type { CommandClient } from '../protocol/command-client.ts'
import { translate } from '../redis-errors.ts'
import type { RedisClient } from '../redis-options.ts'

export { isCluster } from '../protocol/server.ts'

/** The share of a call's timeout that a replica gets, so that the primary can still reply in the remaining time. */
export const replicaTimeoutShare = 0.4

/** A client, or a function that returns one. */
export type ClientSource = RedisClient | Cluster | (() => RedisClient | Cluster)

/** What is wrong with a client, and the remedy. `undefined` if it can be used. */
function clientProblem(client: RedisClient | Cluster | undefined): string | undefined {
  if (typeof client?.getBuffer !== 'function') {
    return 'must be a client of ioredis, or a function that returns one. Without ioredis, use url.'
  }
  const { options = {} } = client as { options?: RedisOptions & ClusterOptions }
  // `clear()` would delete nothing, or the keys of others.
  if (options.keyPrefix) {
    return 'must not have a keyPrefix, which SCAN ignores. Use the prefix of the Cache.'
  }
  if (options.stringNumbers || options.redisOptions?.stringNumbers) {
    return 'must not have stringNumbers, with which the replies are not numbers. Remove the option.'
  }
  // A read would not see the writes before it, also with the consistency 'strong'.
  if ((options.scaleReads ?? 'master') !== 'master') {
    return "must have scaleReads 'master'. To read from replicas, use clusterNodes with readFrom."
  }
  return undefined
}

function checkedClient(client: RedisClient | Cluster): RedisClient | Cluster {
  const problem = clientProblem(client)
  if (problem === undefined) return client
  throw new CacheError('ERR_CACHE_CONFIG', `redis: client ${problem}`)
}

/** @throws CacheError also if the function of the application does */
function clientFrom(source: ClientSource): RedisClient | Cluster {
  if (typeof source !== 'function') return source
  try {
    return checkedClient(source())
  } catch (error) {
    throw translate(error, 'connect')
  }
}

/** A connection to a server or a cluster. Connects on first use. */
export interface Connection {
  readonly client: RedisClient
  /** The server as `host:port`; `undefined` for a cluster, and as long as it is not known. */
  readonly address: string | undefined
  /** `undefined` if commands can be sent now, otherwise a promise that settles in bounded time. */
  ready(): Promise<void> | undefined
  /** Whether commands can be sent now. Connects if that has not been tried yet. */
  tryConnect(): boolean
  /**
   * Must be called before a command is sent: starts its timeout. Returns what to send it with.
   * @param isBatched whether the command has waited for the end of a turn of the event loop already
   */
  beginCommand(isBatched?: boolean): CommandClient
  /** Must be called when the command has completed or failed. */
  endCommand(): void
  /** Must be called when a command has failed. Returns the underlying error, which may differ from the client's. */
  commandFailed(error: unknown): unknown
  /** Calls `listener` each time the connection is established or lost. */
  onStateChange(listener: (connected: boolean) => void): void
  close(): Promise<void>
}

/** A client of the application. A function is called on first use. The client is neither connected nor closed here. */
export class InjectedConnection implements Connection {
  readonly #source: ClientSource
  readonly #inFlight: InFlight
  #client: RedisClient | undefined

  /** @throws CacheError `ERR_CACHE_CONFIG` if the client has an option that the store cannot use */
  constructor(source: ClientSource, inFlight: InFlight) {
    this.#source = typeof source === 'function' ? source : checkedClient(source)
    this.#inFlight = inFlight
  }

  get client(): RedisClient {
    // A cluster client has the methods of a single server's client, with wider types.
    this.#client ??= clientFrom(this.#source) as unknown as RedisClient
    return this.#client
  }

  get address(): string | undefined {
    const { host, port } = (this.client as { options?: RedisOptions }).options ?? {}
    return host === undefined ? undefined : `${host}:${port}`
  }

  ready(): undefined {}

  tryConnect(): boolean {
    return true
  }

  beginCommand(): CommandClient {
    const { client } = this
    this.#inFlight.begin()
    return client
  }

  endCommand(): void {
    this.#inFlight.end()
  }

  commandFailed(error: unknown): unknown {
    return error
  }

  onStateChange(_listener: (connected: boolean) => void): void {}

  close(): Promise<void> {
    return this.#inFlight.idle()
  }
}

/** The members of an ioredis client, for one server or a cluster, that are used here. */
export interface ConnectableClient {
  readonly status: string
  /** Only for a single server. The stream may have ended before the client's status changes. */
  readonly stream?: { readonly writable: boolean }
  connect(): Promise<void>
}

/**
 * A connection that is opened here, and opened again when it is lost. The first call connects. Calls wait for a
 * connection attempt in flight; after a failed attempt they fail at once, until a later attempt succeeds.
 */
export abstract class ReconnectingConnection implements Connection {
  abstract readonly client: RedisClient
  abstract readonly address: string | undefined
  readonly #connectable: ConnectableClient
  readonly #waitMs: number
  readonly #listeners: ((connected: boolean) => void)[] = []
  /** Set by the events of the client; its `status` changes a tick before them. */
  #connected = false
  #hasBeenConnected = false
  /** The connection attempt that calls wait for. */
  #attempt: Deferred<void> | undefined
  /** Why the last attempt failed. */
  #failure: unknown
  #stopped = false
  #cancelWait = () => {}

  /** After a lost connection, calls wait at most `waitMs` for a new one. */
  constructor(client: ConnectableClient, waitMs: number) {
    this.#connectable = client
    this.#waitMs = waitMs
  }

  /** Also connects again if the client has given up. */
  tryConnect(): boolean {
    const { status, stream } = this.#connectable
    if (this.#connected && status === 'ready' && stream?.writable !== false) return true
    const idle = status === 'wait' || status === 'end'
    if (idle && !this.#stopped) this.#connectable.connect().catch(() => {})
    return false
  }

  ready(): Promise<void> | undefined {
    const isConnected = this.tryConnect()
    if (isConnected && this.#attempt === undefined) return undefined
    if (!isConnected && this.#failure !== undefined) return Promise.reject(this.#failure)
    this.#attempt ??= this.#newAttempt()
    return this.#attempt.promise
  }

  abstract beginCommand(isBatched?: boolean): CommandClient

  abstract endCommand(): void

  commandFailed(error: unknown): unknown {
    return error
  }

  onStateChange(listener: (connected: boolean) => void): void {
    this.#listeners.push(listener)
  }

  abstract close(): Promise<void>

  /** Resolves when no call waits for a connection attempt. */
  protected async attemptSettled(): Promise<void> {
    await this.#attempt?.promise.catch(() => {})
  }

  protected stopReconnecting(): void {
    this.#stopped = true
    this.#cancelWait()
  }

  protected markConnected(): void {
    this.#cancelWait()
    this.#connected = true
    this.#publish(this.#hasBeenConnected ? 'reconnected' : 'connected')
    this.#hasBeenConnected = true
    this.#failure = undefined
    this.#attempt?.resolve()
    this.#notify(true)
  }

  /** The connection has closed, or an attempt to connect has failed. */
  protected markClosed(reason: unknown): void {
    const wasConnected = this.#connected
    this.#connected = false
    if (wasConnected) {
      if (!this.#stopped) this.#publish('lost', reason)
      // Failures reported while it was connected do not count: the next attempt decides.
      this.#failure = undefined
      this.#cancelWait = countdown(this.#waitMs, () => this.markFailed(reason))
      this.#notify(false)
    } else this.markFailed(reason)
  }

  protected markFailed(reason: unknown): void {
    this.#cancelWait()
    this.#failure = reason
    this.#attempt?.reject(reason)
    this.#attempt = undefined
  }

  #newAttempt(): Deferred<void> {
    const attempt = new Deferred<void>()
    // Before the calls that wait for it are sent. Listeners are called earlier: their calls also wait, and are sent last.
    const end = () => {
      if (this.#attempt === attempt) this.#attempt = undefined
    }
    // Callers handle the rejection. Without callers it must not terminate the process.
    attempt.promise.then(end, end)
    return attempt
  }

  #publish(change: TopologyChange, error?: unknown): void {
    publishTopology({ store: 'redis', change, server: this.address ?? '', error })
  }

  #notify(connected: boolean): void {
    for (const listener of this.#listeners) listener(connected)
  }
}
