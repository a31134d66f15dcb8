import { type RedisOptions as ClientOptions, Redis } from 'ioredis'
import { isReadOnly, timedOut } from './redis-errors.ts'
import type { RedisClient, ResolvedOptions } from './redis-options.ts'
import { countdown, Watchdog } from './watchdog.ts'

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
  readonly #underWay = new Watchdog(Infinity, () => {})
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
    this.#underWay.sent()
  }

  end(): void {
    this.#underWay.answered()
  }

  failed(error: unknown): unknown {
    return error
  }

  onChange(): void {}

  close(): Promise<void> {
    return this.#underWay.idle()
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
  readonly #watchdog: Watchdog
  readonly #listeners: ((up: boolean) => void)[] = []
  /** Between the event 'ready' and the end of the connection; the client's own status is a tick ahead of its events. */
  #up = false
  /** What calls wait for while an attempt decides. */
  #attempt: Attempt | undefined
  /** Why there is no connection, once an attempt has failed. */
  #failure: unknown
  #lastError: unknown
  /** The server refused the database: what we send would go to another one. */
  #wrongDatabase = false
  #stopCountdown = () => {}
  #corked = false

  constructor(server: ClientOptions, options: ResolvedOptions) {
    this.#watchdog = new Watchdog(options.timeoutMs, () => this.#hangUp())
    this.client = new Redis({ ...server, ...failFast(), replyMapping: 'legacy' })
    this.client.on('error', (error: Error & { command?: { name?: string } }) => {
      if (error.command?.name === 'select') this.#wrongDatabase = true
      this.#lastError = error
    })
    this.client.on('connecting', () => this.#begun(options.connectTimeoutMs + options.timeoutMs))
    this.client.on('connect', () => this.#count(options.timeoutMs))
    this.client.on('ready', () => this.#succeeded())
    this.client.on('close', () => this.#closed())
    this.client.on('end', () => this.#closed())
  }

  ready(): Promise<void> | undefined {
    if (this.wake()) return undefined
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    this.#attempt ??= new Attempt()
    return this.#attempt.promise
  }

  wake(): boolean {
    const { status } = this.client
    if (this.#up && status === 'ready') return true
    // Not tried yet, or given up by the client.
    if (status === 'wait' || status === 'end') this.client.connect().catch(() => {})
    return false
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
    // Calls that wait for the connection are sent once it is there, and answered or given up in bounded time.
    await this.#attempt?.promise.catch(() => {})
    await this.#watchdog.idle()
    this.#stopCountdown()
    this.client.disconnect()
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

  #hangUp(): void {
    this.client.stream?.destroy(new Error(timedOut))
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
      this.#fail(new Error(timedOut))
    })
  }

  #succeeded(): void {
    this.#stopCountdown()
    if (this.#wrongDatabase) {
      this.client.stream?.destroy()
      return
    }
    this.#up = true
    this.#failure = undefined
    this.#attempt?.succeed()
    this.#attempt = undefined
    this.#tell(true)
  }

  #closed(): void {
    this.#stopCountdown()
    const wasUp = this.#up
    this.#up = false
    if (wasUp) this.#tell(false)
    // A connection that was up and is lost has not failed yet: the next attempt decides.
    else this.#fail(this.#lastError ?? new Error('the server closed the connection'))
  }

  #fail(reason: unknown): void {
    this.#failure = reason
    this.#attempt?.fail(reason)
    this.#attempt = undefined
  }

  #tell(up: boolean): void {
    for (const listener of this.#listeners) listener(up)
  }
}

/** An attempt to connect that several calls wait for. */
class Attempt {
  readonly promise: Promise<void>
  succeed!: () => void
  fail!: (reason: unknown) => void

  constructor() {
    this.promise = new Promise<void>((resolve, reject) => {
      this.succeed = resolve
      this.fail = reject
    })
    // Whoever waits handles it; when nobody does any more, it must not end the process.
    this.promise.catch(() => {})
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
    disconnectTimeout: 100,
    keepAlive: 5_000,
    retryStrategy: (times) => Math.min(10 * 2 ** Math.min(times, 10), 250) + Math.random() * 50,
  }
}
