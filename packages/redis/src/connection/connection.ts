import type { Writable } from 'node:stream'
import { countdown, DeadlineError, InFlight, Watchdog } from '@stowage/core/driver'
import { type RedisOptions as ClientOptions, Redis } from 'ioredis'
import { backOff } from '../reconnect-delay.ts'
import { isReadOnly } from '../redis-errors.ts'
import type { RedisClient, ResolvedOptions } from '../redis-options.ts'
import { useCredentials } from './credentials.ts'
import { Readiness } from './readiness.ts'

/** The share of a call's timeout that a replica gets, so that the primary can still answer in the rest. */
export const replicaTimeShare = 0.4
/** So many commands are worth a system call of their own. */
const commandsPerWrite = 64

/** A way to the server, made when first needed. */
export interface Connection {
  readonly client: RedisClient
  /** `undefined` when commands can be sent now; otherwise a promise that settles in bounded time. */
  ready(): Promise<void> | undefined
  /** Whether commands can be sent now. Begins to connect where that has not been tried yet. */
  wake(): boolean
  /** Said before a command is sent: from now on it is watched. */
  begin(): void
  /** Said when the command has been answered or has failed. */
  end(): void
  /** Said when a command has failed. Returns the reason, which the connection may know better than the client. */
  failed(error: unknown): unknown
  /** Has `listener` told of each time the connection is up, or is lost. */
  onChange(listener: (up: boolean) => void): void
  close(): Promise<void>
}

/** A client that belongs to somebody else, asked for when it is first needed; neither connected nor closed here. */
export class BorrowedConnection implements Connection {
  readonly #given: RedisClient | (() => RedisClient)
  readonly #underWay = new InFlight()
  #client: RedisClient | undefined

  constructor(given: RedisClient | (() => RedisClient)) {
    this.#given = given
  }

  get client(): RedisClient {
    this.#client ??= typeof this.#given === 'function' ? this.#given() : this.#given
    return this.#client
  }

  ready(): undefined {}

  wake(): boolean {
    return true
  }

  begin(): void {
    this.#underWay.begin()
  }

  end(): void {
    this.#underWay.end()
  }

  failed(error: unknown): unknown {
    return error
  }

  onChange(_listener: (up: boolean) => void): void {}

  close(): Promise<void> {
    return this.#underWay.idle()
  }
}

/**
 * One connection of our own. It fails fast instead of queueing: a cache that answers late is worse than a miss.
 * A lost connection is made again without end. A server that leaves a command unanswered for too long is hung up on,
 * which fails everything under way.
 */
export class OwnConnection implements Connection {
  readonly client: Redis
  readonly #options: ResolvedOptions
  readonly #readiness: Readiness
  readonly #watchdog: Watchdog
  readonly #stopCredentials: () => void
  #lastError: unknown
  /** The server refused the database: what we send would go to another one. */
  #wrongDatabase = false
  #stopCountdown = () => {}
  /** Commands of this tick. */
  #corked = 0

  constructor(server: ClientOptions, options: ResolvedOptions) {
    this.#options = options
    this.#watchdog = new Watchdog(options.timeoutMs, () => this.#hangUp())
    this.client = new Redis({ ...server, ...failFast(), replyMapping: 'legacy' })
    this.#readiness = new Readiness(this.client, options.timeoutMs / 2)
    this.#stopCredentials = this.#useCredentials()
    this.client.on('error', (error: Error & { command?: { name?: string } }) => {
      if (error.command?.name === 'select') this.#wrongDatabase = true
      this.#lastError = error
    })
    this.client.on('connecting', () => this.#begun(options.connectTimeoutMs + options.timeoutMs))
    this.client.on('connect', () => this.#count(options.timeoutMs))
    this.client.on('ready', () => this.#succeeded())
    this.client.on('close', () => this.#closed())
    this.client.on('end', () => this.#ended())
  }

  ready(): Promise<void> | undefined {
    return this.#readiness.ready()
  }

  wake(): boolean {
    return this.#readiness.wake()
  }

  begin(): void {
    this.#watchdog.begin()
    this.#cork()
  }

  end(): void {
    this.#watchdog.end()
  }

  failed(error: unknown): unknown {
    // The address may lead to the new primary by now, but a connection stays with the old one.
    if (isReadOnly(error)) this.client.stream?.destroy()
    // Of a command that was under way when the connection ended, the client says only that it gave up.
    const gaveUp = (error as Error).name === 'MaxRetriesPerRequestError'
    return gaveUp ? (this.#lastError ?? error) : error
  }

  onChange(listener: (up: boolean) => void): void {
    this.#readiness.onChange(listener)
  }

  async close(): Promise<void> {
    // Calls that wait for the connection are sent once it is there, and answered or given up in bounded time.
    await this.#readiness.decided()
    await this.#watchdog.idle()
    this.#stopCountdown()
    this.#stopCredentials()
    this.#readiness.end()
    this.client.disconnect()
  }

  #useCredentials(): () => void {
    const { credentials, connectTimeoutMs } = this.#options
    if (credentials === undefined) return () => {}
    return useCredentials(this.client, {
      provide: credentials,
      timeoutMs: connectTimeoutMs,
      apply: (given) => Object.assign(this.client.options, given),
      nodes: () => (this.client.status === 'ready' ? [this.client] : []),
      failed: (error) => {
        this.#lastError = error
        this.#readiness.failed(error)
      },
    })
  }

  readonly #uncork = (stream: Writable) => {
    this.#corked = 0
    stream.uncork()
  }

  /** Lets the commands of this tick leave in one write, or a few: with the first, the server can begin. */
  #cork(): void {
    const { stream } = this.client
    if (stream === undefined) return
    if (this.#corked === 0) {
      stream.cork()
      process.nextTick(this.#uncork, stream)
    } else if (this.#corked % commandsPerWrite === 0) {
      stream.uncork()
      stream.cork()
    }
    this.#corked++
  }

  #hangUp(): void {
    this.client.stream?.destroy(new DeadlineError())
  }

  #begun(patienceMs: number): void {
    this.#wrongDatabase = false
    this.#lastError = undefined
    this.#count(patienceMs)
  }

  /** Gives what comes next so much time; it may be the search for an address, which has no stream to end yet. */
  #count(ms: number): void {
    this.#stopCountdown()
    this.#stopCountdown = countdown(ms, () => {
      this.#hangUp()
      this.#readiness.failed(new DeadlineError())
    })
  }

  #succeeded(): void {
    this.#stopCountdown()
    if (this.#wrongDatabase) this.client.stream?.destroy()
    else this.#readiness.succeeded()
  }

  #closed(): void {
    this.#stopCountdown()
    const reason = this.#lastError ?? new Error('the server closed the connection')
    this.#readiness.closed(reason)
  }

  /** The client gives up for good when it is told of a failover while it looks for the primary. There may be no next call. */
  #ended(): void {
    this.#closed()
    setTimeout(() => this.#readiness.wake(), backOff(1)).unref()
  }
}

function failFast(): ClientOptions {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    // A command that was sent and not answered is never sent again: an increment would count twice.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // Counted here, in ticks.
    connectTimeout: 0,
    // A server that has been replaced may not answer to the end of a connection either.
    disconnectTimeout: 20,
    keepAlive: 5_000,
    retryStrategy: backOff,
  }
}
