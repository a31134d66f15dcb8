import { CacheError } from '../errors.ts'
import type { Awaitable } from '../store.ts'

/** A call in flight is overdue after this many timeouts, even if its connection receives data. */
const maxTimeouts = 10

/**
 * Counts calls in flight, so that `close()` can wait for them.
 *
 * @example
 * const inFlight = new InFlight()
 * inFlight.begin()
 * await Promise.resolve(store.ping()).finally(() => inFlight.end())
 * await inFlight.idle()
 */
export class InFlight {
  #count = 0
  #idle: Promise<void> | undefined
  #resolveIdle: (() => void) | undefined

  /** The number of calls in flight. */
  get count(): number {
    return this.#count
  }

  /** Call it when a call begins. */
  begin(): void {
    this.#count++
  }

  /** Call it once for each `begin`, whether the call succeeds or fails. */
  end(): void {
    this.#count--
    if (this.#count === 0 && this.#resolveIdle !== undefined) this.#notifyIdle()
  }

  /** Resolves when no call is in flight. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    this.#idle ??= new Promise((resolve) => {
      this.#resolveIdle = resolve
    })
    return this.#idle
  }

  #notifyIdle(): void {
    this.#resolveIdle?.()
    this.#resolveIdle = undefined
    this.#idle = undefined
  }
}

/**
 * Detects a connection on which replies are overdue. Replies arrive in the order of the calls, so that one timer
 * suffices for all calls in flight. It counts its own ticks instead of reading a clock: time during which the event
 * loop of this process is blocked does not count towards the timeout.
 *
 * @example
 * const watchdog = new Watchdog(2_000, () => console.error('no reply within 2 seconds'))
 * watchdog.begin()
 * await Promise.resolve(store.ping()).finally(() => watchdog.end())
 */
export class Watchdog extends InFlight {
  readonly #tickMs: number
  readonly #ticksUntilTimeout: number
  readonly #onTimeout: () => void
  readonly #isReceiving: ((ended: number) => boolean) | undefined
  /** Ticks since a call became overdue while the connection received data. */
  #lateTicks = 0
  #timer: NodeJS.Timeout | undefined
  #begun = 0
  /** The number of calls begun until each of the last ticks, the oldest first. */
  #begunAtTicks: number[] = []
  #hasProgress = false

  /**
   * Calls `onTimeout` when a call has been in flight for `timeoutMs` milliseconds, at most an eighth later.
   *
   * @param isReceiving whether a large reply is arriving, behind which others are late: such calls get up to ten times
   *   `timeoutMs`. Called at each tick, with the number of calls that have ended
   */
  constructor(timeoutMs: number, onTimeout: () => void, isReceiving?: (ended: number) => boolean) {
    super()
    this.#tickMs = Math.min(50, Math.max(5, timeoutMs / 8))
    this.#ticksUntilTimeout = Math.ceil(timeoutMs / this.#tickMs)
    this.#onTimeout = onTimeout
    this.#isReceiving = isReceiving
  }

  override begin(): void {
    super.begin()
    this.#begun++
    this.#timer ??= setInterval(() => this.#tick(), this.#tickMs).unref()
  }

  /** Restarts the timeout of all calls. Call it when a part of a reply arrives, or a part of a call was sent. */
  progress(): void {
    this.#hasProgress = true
  }

  #tick(): void {
    if (this.#hasProgress) this.#begunAtTicks = []
    this.#hasProgress = false
    if (this.count === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      this.#begunAtTicks = []
      return
    }
    const isFull = this.#begunAtTicks.length >= this.#ticksUntilTimeout
    const due = isFull ? this.#begunAtTicks.shift() : undefined
    this.#begunAtTicks.push(this.#begun)
    const ended = this.#begun - this.count
    const isReceiving = this.#isReceiving?.(ended) === true
    if (due === undefined || ended >= due) {
      this.#lateTicks = 0
      return
    }
    const maxLateTicks = this.#ticksUntilTimeout * (maxTimeouts - 1)
    if (isReceiving && this.#lateTicks++ < maxLateTicks) return
    this.#begunAtTicks = []
    this.#onTimeout()
  }
}

/**
 * Implements `close()` of a store: waits for the calls in flight, releases resources once, and makes later calls fail.
 *
 * @example
 * class MyStore {
 *   readonly #lifecycle = new Lifecycle('mystore')
 *   readonly #items = new Map<string, Payload>()
 *   get = (key: string) => this.#lifecycle.run('get', () => this.#items.get(key))
 *   close = () => this.#lifecycle.close(() => this.#items.clear())
 * }
 * await new MyStore().close()
 */
export class Lifecycle {
  readonly #store: string
  readonly #inFlight = new InFlight()
  #closing: Promise<void> | undefined

  /** @param store the name of the driver, for errors */
  constructor(store: string) {
    this.#store = store
  }

  /** @throws CacheError `ERR_CACHE_CLOSED` after `close()` */
  assertOpen(operation: string): void {
    if (this.#closing !== undefined) throw closed(this.#store, operation)
  }

  /** Runs a call for which `close()` waits. Rejects with `ERR_CACHE_CLOSED` after `close()`. */
  async run<T>(operation: string, work: () => Awaitable<T>): Promise<T> {
    this.assertOpen(operation)
    this.#inFlight.begin()
    try {
      return await work()
    } finally {
      this.#inFlight.end()
    }
  }

  /** Waits for the calls of `run`, then calls `release`, once. Every call returns the same promise. */
  close(release: () => Awaitable<void>): Promise<void> {
    this.#closing ??= this.#release(release)
    return this.#closing
  }

  async #release(release: () => Awaitable<void>): Promise<void> {
    if (this.#inFlight.count > 0) await this.#inFlight.idle()
    await release()
  }
}

function closed(store: string, operation: string): CacheError {
  const message = `${store} ${operation} failed: close() was called. Create caches once per process, and close them last.`
  return new CacheError('ERR_CACHE_CLOSED', message, { store, operation })
}
