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
