const intervalMs = 10
/** A tick that is later than this counts as that late: the rest is time for which the process could not run. */
const maxTickMs = 2 * intervalMs

/**
 * Measures for how long the machine stopped this process, and for how long it ran. A busy machine, or SIGSTOP, stops it for
 * up to seconds: a test that compares a duration cannot tell that from a slow call, unless it looks here.
 */
export class Stalls {
  #maxMs = 0
  #runningMs = 0
  readonly #startedAt: number = performance.now()
  #last: number = this.#startedAt
  #timer = setInterval(() => this.#measure(), intervalMs).unref()

  /** The longest stop until now, in milliseconds. */
  get maxMs(): number {
    this.#measure()
    return this.#maxMs
  }

  /** For how long the process could not run, in milliseconds. */
  get stoppedMs(): number {
    this.#measure()
    return this.#last - this.#startedAt - this.#runningMs
  }

  /** For how long the process ran, in milliseconds: a stop counts as {@link maxTickMs} at most. */
  get runningMs(): number {
    this.#measure()
    return this.#runningMs
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #measure(): void {
    const now = performance.now()
    const tickMs = now - this.#last
    this.#last = now
    this.#maxMs = Math.max(this.#maxMs, tickMs - intervalMs)
    this.#runningMs += Math.min(tickMs, maxTickMs)
  }
}

/**
 * For how long this process ran until the call settled, in milliseconds. An upper bound of it is not missed because the
 * machine stopped the process, however long and often. The call must not wait for another process, which the machine may stop
 * as well.
 */
export async function runningTimeOf(call: () => unknown): Promise<number> {
  const stalls = new Stalls()
  try {
    await Promise.allSettled([(async () => call())()])
    return stalls.runningMs
  } finally {
    stalls.stop()
  }
}
