/** Counts calls in flight, so that `close()` can wait for the last of them. */
export class InFlight {
  #count = 0
  #idle: Promise<void> | undefined
  #resolveIdle: (() => void) | undefined

  get count(): number {
    return this.#count
  }

  begin(): void {
    this.#count++
  }

  /** Call it once for each `begin`, whether the call succeeded or failed. */
  end(): void {
    this.#count--
    if (this.#count === 0 && this.#resolveIdle !== undefined) this.#becameIdle()
  }

  /** Resolves when no call is in flight. */
  idle(): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    this.#idle ??= new Promise((resolve) => {
      this.#resolveIdle = resolve
    })
    return this.#idle
  }

  #becameIdle(): void {
    this.#resolveIdle?.()
    this.#resolveIdle = undefined
    this.#idle = undefined
  }
}
