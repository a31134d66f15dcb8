/**
 * Calls a function once for the calls of a turn of the event loop. While others are active, that is when the callbacks
 * of the turn have run, so that the requests of all sockets share it; for a lone call, it is as soon as its own
 * callback has run.
 */
export class FlushScheduler {
  readonly #onEnd: () => void
  #scheduled: 'none' | 'turn' | 'callback' = 'none'
  /** How many calls were added since the last end, and before it. */
  #count = 0
  #lastCount = 0

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd
  }

  /** @param isBusy whether earlier calls are in flight */
  add(isBusy: boolean): void {
    this.#count++
    if (this.#scheduled !== 'none') return
    if (!isBusy && this.#lastCount <= 1) this.flushAfterCallback()
    else {
      this.#scheduled = 'turn'
      setImmediate(this.#end)
    }
  }

  /** Calls the function when the current callback has run, also if that was to be at the end of the turn. */
  flushAfterCallback(): void {
    if (this.#scheduled === 'callback') return
    this.#scheduled = 'callback'
    process.nextTick(this.#end)
  }

  readonly #end = () => {
    this.#scheduled = 'none'
    this.#lastCount = this.#count
    this.#count = 0
    this.#onEnd()
  }
}
