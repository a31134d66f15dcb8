import type { CacheError } from '@stowage/core'
import { type RedisOptions as ClientOptions, Redis } from 'ioredis'
import { isReadOnly, timedOut, translate } from './redis-errors.ts'
import type { RedisClient, ResolvedOptions } from './redis-options.ts'
import { Watchdog } from './watchdog.ts'

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

  begin(): void {}

  end(): void {}

  failed(error: unknown): unknown {
    return error
  }

  onChange(): void {}

  async close(): Promise<void> {
    // Answered after every command before it: that is the drain.
    await this.#client?.ping().catch(() => {})
  }
}

/**
 * One connection of our own. It fails fast instead of queueing: a cache that answers late is worse than a miss.
 * The first call connects; a lost connection is made again without end. Calls wait for an attempt under way, and
 * fail at once after one has failed, until a later one succeeds. A server that leaves a command unanswered for too
 * long is hung up on, which fails everything under way.
 */
export class OwnConnection implements Connection {
  readonly client: Redis
  readonly #options: ResolvedOptions
  readonly #watchdog: Watchdog
  #attempt: Attempt | undefined
  /** Ends a handshake the server does not answer. */
  #handshake: NodeJS.Timeout | undefined
  /** Why there is no connection, once an attempt has failed. */
  #failure: unknown
  #lastError: unknown
  /** Set when the server refused the database: what we send would go to another one. */
  #wrongDatabase = false
  #corked = false
  readonly #listeners: ((up: boolean) => void)[] = []

  constructor(server: ClientOptions, options: ResolvedOptions) {
    this.#options = options
    this.#watchdog = new Watchdog(options.timeoutMs, () => this.#hangUp())
    this.client = new Redis({ ...server, ...failFast(options), replyMapping: 'legacy' })
    this.client.on('error', (error: Error & { command?: { name?: string } }) => {
      if (error.command?.name === 'select') this.#wrongDatabase = true
      this.#lastError = error
    })
    this.client.on('connect', () => this.#shakeHands())
    this.client.on('ready', () => this.#succeeded())
    this.client.on('close', () => this.#closed())
  }

  ready(): Promise<void> | undefined {
    if (this.client.status === 'ready' && this.#failure === undefined) return undefined
    if (this.#failure !== undefined) return Promise.reject(this.#unavailable())
    if (this.client.status === 'wait') this.client.connect().catch(() => {})
    const patienceMs = this.#options.connectTimeoutMs + this.#options.timeoutMs
    this.#attempt ??= new Attempt(patienceMs, () => this.#failed())
    return this.#attempt.promise
  }

  wake(): boolean {
    if (this.client.status === 'wait') this.client.connect().catch(() => {})
    return this.client.status === 'ready' && this.#failure === undefined
  }

  begin(): void {
    this.#watchdog.sent()
    this.#cork()
  }

  end(): void {
    this.#watchdog.answered()
  }

  failed(error: unknown): unknown {
    // The address may lead to the new primary by now, but a connection stays with the old one.
    if (isReadOnly(error)) this.client.stream?.destroy()
    // Of a command that was under way when the connection ended, the client says only that it gave up.
    const gaveUp = (error as Error).name === 'MaxRetriesPerRequestError'
    return gaveUp ? (this.#lastError ?? error) : error
  }

  onChange(listener: (up: boolean) => void): void {
    this.#listeners.push(listener)
  }

  async close(): Promise<void> {
    // Calls that wait for the connection are sent once it is there; QUIT is answered after all of them.
    await this.#attempt?.promise.catch(() => {})
    if (this.client.status === 'ready') await this.#quit()
    clearTimeout(this.#handshake)
    this.client.disconnect()
    this.#failed()
  }

  /** Lets the commands of this tick leave in one write. */
  #cork(): void {
    const { stream } = this.client
    if (this.#corked || stream === undefined) return
    this.#corked = true
    stream.cork()
    process.nextTick(() => {
      this.#corked = false
      stream.uncork()
    })
  }

  async #quit(): Promise<void> {
    this.begin()
    await this.client.quit().catch(() => {})
    this.end()
  }

  #hangUp(): void {
    this.client.stream?.destroy(new Error(timedOut))
  }

  #shakeHands(): void {
    this.#handshake = setTimeout(() => this.#hangUp(), this.#options.timeoutMs)
  }

  #succeeded(): void {
    clearTimeout(this.#handshake)
    if (this.#wrongDatabase) {
      this.#failed()
      return
    }
    this.#failure = undefined
    this.#lastError = undefined
    this.#attempt?.succeed()
    this.#attempt = undefined
    this.#tell(true)
  }

  #closed(): void {
    clearTimeout(this.#handshake)
    this.#tell(false)
    this.#wrongDatabase = false
    // A connection that was up and is lost has not failed yet: the next attempt decides.
    if (this.#attempt !== undefined) this.#failed()
  }

  #failed(): void {
    this.#failure = this.#lastError ?? new Error('no connection in time')
    this.#attempt?.fail(this.#unavailable())
    this.#attempt = undefined
  }

  #tell(up: boolean): void {
    for (const listener of this.#listeners) listener(up)
  }

  #unavailable(): CacheError {
    return translate(this.#failure, 'connect')
  }
}

/** An attempt to connect that several calls wait for; it ends in bounded time. */
class Attempt {
  readonly promise: Promise<void>
  succeed!: () => void
  fail!: (error: CacheError) => void

  constructor(ms: number, late: () => void) {
    const timer = setTimeout(late, ms)
    this.promise = new Promise<void>((resolve, reject) => {
      this.succeed = resolve
      this.fail = reject
    }).finally(() => clearTimeout(timer))
    // Whoever waits handles it; when nobody does any more, it must not end the process.
    this.promise.catch(() => {})
  }
}

function failFast({ connectTimeoutMs }: ResolvedOptions): ClientOptions {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    // A command that was sent and not answered is never sent again: an increment would count twice.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: connectTimeoutMs,
    disconnectTimeout: 100,
    keepAlive: 5_000,
    retryStrategy: (times) => Math.min(10 * 2 ** Math.min(times, 10), 250) + Math.random() * 50,
  }
}
