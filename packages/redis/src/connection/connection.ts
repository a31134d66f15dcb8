import { CacheError } from '@stowage/core'
import type { InFlight } from '@stowage/core/driver'
import type { Cluster, ClusterOptions, RedisOptions } from 'ioredis'
import type { CommandClient } from '../protocol/command-client.ts'
import type { RedisClient } from '../redis-options.ts'

export { isCluster } from '../protocol/server.ts'

/** The share of a call's timeout that a replica gets, so that the primary can still reply in the remaining time. */
export const replicaTimeoutShare = 0.4

/** A client, or a function that returns one. */
export type ClientSource = RedisClient | Cluster | (() => RedisClient | Cluster)

/** What is wrong with a client, and the remedy. `undefined` if it can be used. */
function clientProblem(client: RedisClient | Cluster): string | undefined {
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
  begin(isBatched?: boolean): CommandClient
  /** Must be called when the command has completed or failed. */
  end(): void
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
    const source = this.#source
    // A cluster client has the methods of a single server's client, with wider types.
    this.#client ??= (typeof source === 'function'
      ? checkedClient(source())
      : source) as unknown as RedisClient
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

  begin(): CommandClient {
    this.#inFlight.begin()
    return this.client
  }

  end(): void {
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
