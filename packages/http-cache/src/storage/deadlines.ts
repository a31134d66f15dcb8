/** How many ticks a timeout has. */
const ticksPerTimeout = 8

interface Call {
  readonly reject: (error: Error) => void
  /** The number of ticks before it began. */
  readonly begunAt: number
}

/**
 * Limits how long calls take that have the same timeout. Thousands of them are made per second, so that one timer checks
 * all: a call is rejected after the timeout, or up to an eighth later. The timer counts its ticks instead of reading a
 * clock: time during which the event loop of this process is blocked does not count towards the timeout.
 */
export class Deadlines {
  readonly #ms: number
  /** The calls in flight, the oldest first. */
  readonly #calls = new Set<Call>()
  #ticks = 0
  #timer: NodeJS.Timeout | undefined

  /** @param ms the timeout of all calls, in milliseconds */
  constructor(ms: number) {
    this.#ms = ms
  }

  /** Settles like `work`, or rejects with a {@link CacheDeadlineError}. */
  limit<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const call: Call = { reject, begunAt: this.#ticks }
      this.#calls.add(call)
      this.#timer ??= setInterval(() => this.#tick(), Math.ceil(this.#ms / ticksPerTimeout))
      work.then(
        (value) => {
          this.#calls.delete(call)
          resolve(value)
        },
        (error) => {
          this.#calls.delete(call)
          reject(error)
        },
      )
    })
  }

  #tick(): void {
    this.#ticks++
    for (const call of this.#calls) {
      if (this.#ticks - call.begunAt <= ticksPerTimeout) return
      this.#calls.delete(call)
      call.reject(new CacheDeadlineError(this.#ms))
    }
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}

/** The cache has not replied before the deadline of the route. */
export class CacheDeadlineError extends Error {
  override readonly name: string = 'CacheDeadlineError'

  constructor(ms: number) {
    super(`The cache did not reply within ${ms} ms.`)
  }
}
