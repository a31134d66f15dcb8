import type { Socket } from 'node:net'
import { countdown, DeadlineError, Watchdog } from '@stowage/core/driver'
import { publishTopology } from '@stowage/core/internal'
import { type RedisOptions as ClientOptions, Redis } from 'ioredis'
import type { CommandClient } from '../protocol/command-client.ts'
import { DirectClient } from '../protocol/direct-client.ts'
import { allowLateErrors } from '../protocol/ioredis-internals.ts'
import { WriteCork } from '../protocol/request-writer.ts'
import { ReadOnlyBackoff, reconnectDelay } from '../reconnect-delay.ts'
import { fromServer, isReadOnly } from '../redis-errors.ts'
import type { ResolvedOptions } from '../redis-options.ts'
import { maxSentinelTimeoutMs, sentinelTimeoutMs } from './client-options.ts'
import { ReconnectingConnection } from './connection.ts'
import { useCredentials } from './credentials.ts'
import { largeReplyDetector } from './large-reply.ts'

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
  readonly #readOnlyBackoff = new ReadOnlyBackoff()
  #lastError: unknown
  /** The server as `host:port`; empty before Sentinels have returned it. */
  #address: string
  /** Whether the last attempt to connect succeeded. */
  #wasReady = false
  /** The connection was closed because its command queue has failed. */
  #isBeingReplaced = false
  /** SELECT failed: commands would be executed in another database. */
  #wrongDatabase = false
  #cancelDeadline = () => {}

  constructor(server: ClientOptions, options: ResolvedOptions) {
    const { timeoutMs, connectTimeoutMs } = options
    const client = new Redis({ ...server, ...failFastOptions(), replyMapping: 'legacy' })
    super(client, timeoutMs / 2)
    allowLateErrors(client)
    this.client = client
    this.#direct = new DirectClient(client)
    this.#address = server.sentinels ? '' : `${client.options.host}:${client.options.port}`
    const isReceiving = largeReplyDetector(client)
    this.#watchdog = new Watchdog(timeoutMs, () => this.#closeOnTimeout(), isReceiving)
    this.#stopCredentials = useCredentials(client, options, {
      apply: (credentials) => Object.assign(client.options, credentials),
      connectedNodes: () => (client.status === 'ready' ? [client] : []),
      onError: (error) => this.#onCredentialsError(error),
    })
    client.on('error', (error: Error & { command?: { name?: string } }) => {
      if (error.command?.name === 'select') this.#wrongDatabase = true
      this.#onError(error)
    })
    client.on('sentinelError', (error: Error) => {
      this.#lastError = sentinelFailure(error, server.name ?? '', this.#lastError)
    })
    client.on('connecting', () => this.#onConnecting(connectTimeoutMs + timeoutMs))
    client.on('connect', () => this.#onConnect(timeoutMs))
    client.on('ready', () => void this.#onReady())
    client.on('close', () => this.#onClose())
    client.on('end', () => this.#onEnd())
  }

  get address(): string | undefined {
    return this.#address || undefined
  }

  beginCommand(isBatched = false): CommandClient {
    this.#watchdog.begin()
    // The direct client sees by the command whether it is batched.
    return this.#direct.tryUse() ? this.#direct : this.corkedClient(isBatched)
  }

  /** The client, for a command after `beginCommand()` that only ioredis itself sends. */
  corkedClient(isBatched = false): Redis {
    this.#cork.hold(this.#streams, isBatched, this.#watchdog.count > 1)
    return this.client
  }

  endCommand(): void {
    this.#watchdog.end()
  }

  override commandFailed(error: unknown): unknown {
    if (isReadOnly(error)) this.#onReadOnly()
    // For a command in flight when the connection closed, ioredis reports only that it gave up.
    const gaveUp = (error as Error).name === 'MaxRetriesPerRequestError'
    return fromServer(gaveUp ? (this.#lastError ?? closedByServer()) : error, this.#address)
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

  /** The address may resolve to the new primary by now, but an open connection stays with the old one. */
  #onReadOnly(): void {
    if (this.#readOnlyBackoff.mayReconnect()) this.client.stream?.destroy()
  }

  #closeOnTimeout(): void {
    this.client.stream?.destroy(new DeadlineError())
  }

  #onCredentialsError(error: Error): void {
    this.#lastError = error
    this.markFailed(error)
  }

  #onError(error: Error): void {
    if (!isSentinelSummary(error)) this.#lastError = error
    else this.#onNoSentinel(error)
  }

  /** Waits longer in the next round: in a busy process, the replies of all Sentinels may be late. */
  #onNoSentinel(summary: Error): void {
    const { sentinelCommandTimeout = sentinelTimeoutMs } = this.client.options
    const longer = Math.min(2 * sentinelCommandTimeout, maxSentinelTimeoutMs)
    this.client.options.sentinelCommandTimeout = longer
    this.markFailed(this.#lastError ?? summary)
  }

  #onConnecting(timeoutMs: number): void {
    this.#wrongDatabase = false
    this.#lastError = undefined
    this.#wasReady = false
    this.#isBeingReplaced = false
    this.#setDeadline(timeoutMs)
  }

  #onConnect(timeoutMs: number): void {
    const { remoteAddress, remotePort } = this.client.stream as Socket
    if (this.client.options.sentinels) this.#onPrimary(`${remoteAddress}:${remotePort}`)
    this.#setDeadline(timeoutMs)
    const cancelDeadline = this.#cancelDeadline
    const cancelCheck = countdown(timeoutMs / 4, () => void this.#checkLoading())
    this.#cancelDeadline = () => {
      cancelDeadline()
      cancelCheck()
    }
  }

  /** The Sentinels have returned another address than before when another server has become the primary. */
  #onPrimary(server: string): void {
    const isPromoted = this.#address !== '' && this.#address !== server
    this.#address = server
    if (isPromoted) publishTopology({ store: 'redis', change: 'promoted', server })
  }

  async #checkLoading(): Promise<void> {
    const error = await loadingError(this.client)
    if (error === undefined) return
    this.#lastError = error
    this.markFailed(fromServer(error, this.#address))
  }

  /** Sets the deadline of the next step. During a DNS or Sentinel lookup there is no stream to close yet. */
  #setDeadline(ms: number): void {
    this.#cancelDeadline()
    this.#cancelDeadline = countdown(ms, () => {
      this.#closeOnTimeout()
      this.markFailed(fromServer(this.#lastError ?? new DeadlineError(), this.#address))
    })
  }

  async #onReady(): Promise<void> {
    if (this.client.options.sentinels) {
      this.client.options.sentinelCommandTimeout = sentinelTimeoutMs
    }
    this.#wasReady = true
    const { stream } = this.client
    if (this.#wrongDatabase) stream.destroy()
    await this.#direct.open()
    this.#isBeingReplaced = stream.destroyed && this.#direct.hasFailed
    if (stream.destroyed || this.client.stream !== stream) return
    this.#cancelDeadline()
    this.markConnected()
  }

  #onClose(): void {
    this.#cancelDeadline()
    // Calls wait for the next connection.
    if (this.#isBeingReplaced) return
    const reason = this.#wasReady
      ? (this.#lastError ?? closedByServer())
      : refusalOf(this.#lastError)
    this.markClosed(fromServer(reason, this.#address))
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

function closedByServer(): Error {
  return new Error('the server closed the connection')
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

/** A Sentinel did not return the primary. */
class SentinelError extends Error {
  override readonly name = 'SentinelError'
  /** Whether the Sentinel is reachable, but does not monitor a primary of this name. */
  readonly isUnknownName: boolean

  constructor(message: string, isUnknownName: boolean) {
    super(message)
    this.isUnknownName = isUnknownName
  }
}

/** The reason for which a Sentinel did not return the primary. `before` is that of the previous Sentinel. */
function sentinelFailure({ message }: Error, primary: string, before: unknown): unknown {
  if (before instanceof SentinelError && before.isUnknownName) return before
  // These are messages of ioredis.
  const [, sentinel = '', reason = 'invalid reply: null'] =
    /sentinel (\S+) (?:because (.*)|successfully)/s.exec(message) ?? []
  const isUnknownName = /invalid reply: null|No such master/.test(reason)
  const problem = isUnknownName
    ? `monitors no primary named ${primary}. Set sentinelName, or REDIS_SENTINEL_NAME.`
    : reason.replace(/^Connection is closed\.$/, 'is unreachable')
  const text = isUnknownName || problem === 'is unreachable' ? problem : `failed: ${problem}`
  return fromServer(new SentinelError(`the Sentinel ${sentinel} ${text}`, isUnknownName), sentinel)
}

/** Whether ioredis has queried all Sentinels without success. */
function isSentinelSummary({ message }: Error): boolean {
  return message.startsWith('All sentinels are unreachable')
}

/** The reason for which a connection was closed before it was ready. The server closes it before it reads anything. */
function refusalOf(error: unknown): unknown {
  const { code } = (error ?? {}) as NodeJS.ErrnoException
  if (error !== undefined && code !== 'EPIPE' && code !== 'ECONNRESET') return error
  const message =
    'the server closed the new connection, as it does when it has reached maxclients, expects TLS (rediss://) or is not Redis'
  return new Error(message, { cause: error })
}

/** The LOADING error if a server does not become ready because it is loading its data. INFO is accepted meanwhile. */
async function loadingError(client: Redis): Promise<Error | undefined> {
  const info = String(await client.info('persistence').catch(() => ''))
  if (!/^loading:1/m.test(info) || client.status === 'ready') return undefined
  const error = new Error('LOADING Redis is loading the dataset in memory')
  error.name = 'ReplyError'
  return error
}
