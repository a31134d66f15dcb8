import { countdown, DeadlineError, Watchdog } from '@stowage/core/driver'
import { type RedisOptions as ClientOptions, Redis } from 'ioredis'
import type { CommandClient } from '../protocol/command-client.ts'
import { DirectClient } from '../protocol/direct-client.ts'
import { reconnectDelay } from '../reconnect-delay.ts'
import { isReadOnly } from '../redis-errors.ts'
import type { ResolvedOptions } from '../redis-options.ts'
import { useCredentials } from './credentials.ts'
import { ReconnectingConnection } from './reconnecting-connection.ts'
import { WriteCork } from './write-cork.ts'

/**
 * A connection to one server. It fails fast instead of queueing: a late reply from a cache is worse than a miss. A lost
 * connection is reopened, with any number of attempts. If a command gets no reply in time, the connection is closed,
 * which fails all commands in flight.
 */
export class ManagedConnection extends ReconnectingConnection {
  readonly client: Redis
  readonly #direct: DirectClient
  readonly #cork = new WriteCork()
  readonly #watchdog: Watchdog
  readonly #stopCredentials: () => void
  #lastError: unknown
  /** SELECT failed: commands would be executed in another database. */
  #wrongDatabase = false
  #cancelDeadline = () => {}

  constructor(server: ClientOptions, options: ResolvedOptions) {
    const { timeoutMs, connectTimeoutMs } = options
    const client = new Redis({ ...server, ...failFastOptions(), replyMapping: 'legacy' })
    super(client, timeoutMs / 2)
    this.client = client
    this.#direct = new DirectClient(client)
    this.#watchdog = new Watchdog(timeoutMs, () => this.#closeOnTimeout())
    this.#stopCredentials = useCredentials(client, options, {
      apply: (credentials) => Object.assign(client.options, credentials),
      connectedNodes: () => (client.status === 'ready' ? [client] : []),
      onError: (error) => this.#onCredentialsError(error),
    })
    client.on('error', (error: Error & { command?: { name?: string } }) => {
      if (error.command?.name === 'select') this.#wrongDatabase = true
      this.#lastError = error
    })
    client.on('connecting', () => this.#onConnecting(connectTimeoutMs + timeoutMs))
    client.on('connect', () => this.#setDeadline(timeoutMs))
    client.on('ready', () => this.#onReady())
    client.on('close', () => this.#onClose())
    client.on('end', () => this.#onEnd())
  }

  begin(isBatched = false): CommandClient {
    this.#watchdog.begin()
    return this.#direct.isAvailable ? this.#direct : this.corkedClient(isBatched)
  }

  /** The client, for a command after `begin()` that only ioredis itself sends. */
  corkedClient(isBatched = false): Redis {
    this.#cork.hold(this.#streams, isBatched, this.#watchdog.count > 1)
    return this.client
  }

  end(): void {
    this.#watchdog.end()
  }

  override commandFailed(error: unknown): unknown {
    // The address may resolve to the new primary by now, but an open connection stays with the old one.
    if (isReadOnly(error)) this.client.stream?.destroy()
    // For a command in flight when the connection closed, ioredis reports only that it gave up.
    const gaveUp = (error as Error).name === 'MaxRetriesPerRequestError'
    return gaveUp ? (this.#lastError ?? error) : error
  }

  async close(): Promise<void> {
    // Calls that wait for the connection are sent once it is established, and end in bounded time.
    await this.attemptSettled()
    await this.#watchdog.idle()
    this.#cancelDeadline()
    this.#stopCredentials()
    this.stopReconnecting()
    this.client.disconnect()
  }

  readonly #streams = () => (this.client.stream === undefined ? [] : [this.client.stream])

  #closeOnTimeout(): void {
    this.client.stream?.destroy(new DeadlineError())
  }

  #onCredentialsError(error: Error): void {
    this.#lastError = error
    this.markFailed(error)
  }

  #onConnecting(timeoutMs: number): void {
    this.#wrongDatabase = false
    this.#lastError = undefined
    this.#setDeadline(timeoutMs)
  }

  /** Sets the deadline of the next step. During a DNS or Sentinel lookup there is no stream to close yet. */
  #setDeadline(ms: number): void {
    this.#cancelDeadline()
    this.#cancelDeadline = countdown(ms, () => {
      this.#closeOnTimeout()
      this.markFailed(new DeadlineError())
    })
  }

  #onReady(): void {
    this.#cancelDeadline()
    if (this.#wrongDatabase) this.client.stream?.destroy()
    else this.markConnected()
  }

  #onClose(): void {
    this.#cancelDeadline()
    this.markClosed(this.#lastError ?? new Error('the server closed the connection'))
  }

  /**
   * If a failover is announced while ioredis looks for the primary, it gives up for good. No further call may follow
   * that would connect: a bus only receives messages.
   */
  #onEnd(): void {
    this.#onClose()
    setTimeout(() => this.tryConnect(), reconnectDelay(1)).unref()
  }
}

function failFastOptions(): ClientOptions {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    // A command without a reply is never sent again: it would increment a counter twice.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // Timed by this class, in ticks.
    connectTimeout: 0,
    // A server that has been replaced may not acknowledge the end of a connection.
    disconnectTimeout: 20,
    keepAlive: 5_000,
    retryStrategy: reconnectDelay,
  }
}
