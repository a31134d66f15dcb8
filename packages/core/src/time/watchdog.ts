const ticksOfCountdown = 8

/**
 * Notices when something sent has been left unanswered for too long. As answers come in order, one timer serves for
 * all that is under way. It counts its own ticks instead of reading a clock: a process that was busy for a second
 * has not given the server a second less to answer.
 */
export class Watchdog {
  readonly #tickMs: number
  readonly #ticks: number
  readonly #bite: () => void
  #timer: NodeJS.Timeout | undefined
  #sent = 0
  #answered = 0
  /** How much had been sent at each of the last ticks, the oldest first. */
  #marks: number[] = []
  #whenIdle: (() => void) | undefined

  /** Calls `bite` when something is unanswered `timeoutMs` after it was sent, an eighth later at most; never for `Infinity`. */
  constructor(timeoutMs: number, bite: () => void) {
    this.#tickMs = Math.min(50, Math.max(5, timeoutMs / 8))
    this.#ticks = Math.ceil(timeoutMs / this.#tickMs)
    this.#bite = bite
  }

  sent(): void {
    this.#sent++
    if (this.#ticks === Infinity) return
    this.#timer ??= setInterval(() => this.#tick(), this.#tickMs).unref()
  }

  /** Also for what has failed: it is no longer waited for. */
  answered(): void {
    this.#answered++
    if (this.#whenIdle !== undefined && this.#answered === this.#sent) this.#whenIdle()
  }

  /** Resolves when nothing is left unanswered. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#answered === this.#sent) resolve()
      else this.#whenIdle = resolve
    })
  }

  #tick(): void {
    if (this.#answered === this.#sent) {
      clearInterval(this.#timer)
      this.#timer = undefined
      this.#marks = []
      return
    }
    const due = this.#marks.length < this.#ticks ? undefined : this.#marks.shift()
    this.#marks.push(this.#sent)
    if (due === undefined || this.#answered >= due) return
    this.#marks = []
    this.#bite()
  }
}

/** Calls `late` after `ms`, counted in ticks for the same reason, unless the function it returns is called before. */
export function countdown(ms: number, late: () => void): () => void {
  let left = ticksOfCountdown
  const timer = setInterval(() => {
    left--
    if (left > 0) return
    clearInterval(timer)
    late()
  }, ms / ticksOfCountdown).unref()
  return () => clearInterval(timer)
}
