import { InFlight } from './in-flight.ts'

const ticksPerCountdown = 8

/**
 * Detects a backend that leaves calls unanswered for too long. Answers arrive in order, so one timer serves for all
 * calls in flight. It counts its own ticks instead of reading a clock: when this process is blocked for a second,
 * the server still gets its full time to answer.
 */
export class Watchdog extends InFlight {
  readonly #tickMs: number
  readonly #ticks: number
  readonly #onTimeout: () => void
  #timer: NodeJS.Timeout | undefined
  #begun = 0
  /** How many calls had begun at each of the last ticks, the oldest first. */
  #marks: number[] = []

  /** Calls `onTimeout` when a call has been in flight for `timeoutMs`, at most an eighth later. */
  constructor(timeoutMs: number, onTimeout: () => void) {
    super()
    this.#tickMs = Math.min(50, Math.max(5, timeoutMs / 8))
    this.#ticks = Math.ceil(timeoutMs / this.#tickMs)
    this.#onTimeout = onTimeout
  }

  override begin(): void {
    super.begin()
    this.#begun++
    this.#timer ??= setInterval(() => this.#tick(), this.#tickMs).unref()
  }

  #tick(): void {
    if (this.count === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
      this.#marks = []
      return
    }
    const due = this.#marks.length < this.#ticks ? undefined : this.#marks.shift()
    this.#marks.push(this.#begun)
    const ended = this.#begun - this.count
    if (due === undefined || ended >= due) return
    this.#marks = []
    this.#onTimeout()
  }
}

/**
 * Calls `onTimeout` after `ms` milliseconds, counted in ticks like the watchdog's. Returns a function that cancels it.
 * `ref` says whether the timer keeps the process alive.
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
