const intervalMs = 10

/** Measures for how long the machine has stopped this process at most. */
export class Stalls {
  maxMs = 0
  #last = performance.now()

  constructor() {
    setInterval(() => {
      const now = performance.now()
      this.maxMs = Math.max(this.maxMs, now - this.#last - intervalMs)
      this.#last = now
    }, intervalMs).unref()
  }
}
