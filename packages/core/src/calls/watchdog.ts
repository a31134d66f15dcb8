import { InFlight } from './lifecycle.ts'

const ticksPerCountdown = 8
/** A call in flight is overdue after this many timeouts, even if its connection receives data. */
const maxTimeouts = 10

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
 * Calls `onTimeout` after `ms` milliseconds, counted in ticks as by a {@link Watchdog}. Returns a function that cancels
 * it. The timer keeps the process alive only if `ref` is true.
 *
 * @example
 * const cancel = countdown(500, () => console.error('no connection within 500 ms'))
 * await Promise.resolve(store.ping()).finally(cancel)
 */
export function countdown(ms: number, onTimeout: () => void, ref = false): () => void {
  let ticksLeft = ticksPerCountdown
  const timer = setInterval(() => {
    ticksLeft--
    if (ticksLeft > 0) return
    clearInterval(timer)
    onTimeout()
  }, ms / ticksPerCountdown)
  if (!ref) timer.unref()
  return () => clearInterval(timer)
}
