import type { CacheError } from '@stowage/core'
import { type RedisOptions as ClientOptions, Redis } from 'ioredis'
import { translate } from './redis-errors.ts'
import type { RedisClient, ResolvedOptions } from './redis-options.ts'

/** A way to the server, made when first needed. */
export interface Connection {
  readonly client: RedisClient
  /** `undefined` when commands can be sent now; otherwise a promise that settles in bounded time. */
  ready(): Promise<void> | undefined
  /** Lets the commands of this tick leave in one write. */
  cork(): void
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

  cork(): void {}

  async close(): Promise<void> {
    // Answered after every command before it: that is the drain.
    await this.#client?.ping().catch(() => {})
  }
}

/**
 * One connection of our own. It fails fast instead of queueing: a cache that answers late is worse than a miss.
 * The first call connects; a lost connection is made again without end. Calls wait for an attempt under way, and
 * fail at once after one has failed, until a later one succeeds.
 */
export class OwnConnection implements Connection {
  readonly client: Redis
  readonly #patienceMs: number
  #attempt: Attempt | undefined
  /** Why there is no connection, once an attempt has failed. */
  #failure: unknown
  #lastError: unknown
  /** Set when the server refused the database: what we send would go to another one. */
  #wrongDatabase = false
  #corked = false

  constructor(server: ClientOptions, options: ResolvedOptions) {
    this.client = new Redis({ ...server, ...failFast(options), replyMapping: 'legacy' })
    this.#patienceMs = options.connectTimeoutMs + options.timeoutMs
    this.client.on('error', (error: Error & { command?: { name?: string } }) => {
      if (error.command?.name === 'select') this.#wrongDatabase = true
      this.#lastError = error
    })
    this.client.on('ready', () => this.#succeeded())
    this.client.on('close', () => this.#closed())
  }

  ready(): Promise<void> | undefined {
    if (this.client.status === 'ready' && this.#failure === undefined) return undefined
    if (this.#failure !== undefined) return Promise.reject(this.#unavailable())
    if (this.client.status === 'wait') this.client.connect().catch(() => {})
    this.#attempt ??= new Attempt(this.#patienceMs, () => this.#failed())
    return this.#attempt.promise
  }

  cork(): void {
    const { stream } = this.client
    if (this.#corked || stream === undefined) return
    this.#corked = true
    stream.cork()
    process.nextTick(() => {
      this.#corked = false
      stream.uncork()
    })
  }

  async close(): Promise<void> {
    // Calls that wait for the connection are sent once it is there; QUIT is answered after all of them.
    await this.#attempt?.promise.catch(() => {})
    if (this.client.status === 'ready') await this.client.quit().catch(() => {})
    this.client.disconnect()
    this.#failed()
  }

  #succeeded(): void {
    if (this.#wrongDatabase) {
      this.#failed()
      return
    }
    this.#failure = undefined
    this.#lastError = undefined
    this.#attempt?.succeed()
    this.#attempt = undefined
  }

  #closed(): void {
    this.#wrongDatabase = false
    // A connection that was up and is lost has not failed yet: the next attempt decides.
    if (this.#attempt !== undefined) this.#failed()
  }

  #failed(): void {
    this.#failure = this.#lastError ?? new Error('no connection in time')
    this.#attempt?.fail(this.#unavailable())
    this.#attempt = undefined
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

function failFast({ timeoutMs, connectTimeoutMs }: ResolvedOptions): ClientOptions {
  return {
    lazyConnect: true,
    enableOfflineQueue: false,
    // A command that was sent and not answered is never sent again: an increment would count twice.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: timeoutMs,
    connectTimeout: connectTimeoutMs,
    // A server that stays silent while commands wait has lost us, or is frozen: connect anew.
    socketTimeout: timeoutMs + 250,
    disconnectTimeout: 100,
    keepAlive: 5_000,
    retryStrategy: (times) => Math.min(10 * 2 ** Math.min(times, 10), 250) + Math.random() * 50,
  }
}
