const intervalMs = 10

/** Measures for how long the machine has stopped this process at most. */
export class Stalls {
  #maxMs = 0
  #last = performance.now()
  #timer = setInterval(() => this.#measure(), intervalMs).unref()

  /** Until now, in milliseconds. */
  get maxMs() {
    this.#measure()
    return this.#maxMs
  }

  stop() {
    clearInterval(this.#timer)
  }

  #measure() {
    const now = performance.now()
    this.#maxMs = Math.max(this.#maxMs, now - this.#last - intervalMs)
    this.#last = now
  }
}
