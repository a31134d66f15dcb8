interface Flight {
  readonly result: Promise<unknown>
  /** Whether the result may be stored. */
  isCurrent: boolean
}

/** Runs one task per key at a time. Calls during the run share its result, or its failure. */
export class SingleFlight {
  readonly #inFlight = new Map<string, Flight>()

  /** Returns the result of the task in flight for `key`, if there is one. */
  join<T>(key: string): Promise<T> | undefined {
    return this.#inFlight.size === 0
      ? undefined
      : (this.#inFlight.get(key)?.result as Promise<T> | undefined)
  }

  /** Runs `task`, or joins the one in flight. `isCurrent` returns whether its key has not been invalidated since. */
  run<T>(key: string, task: (isCurrent: () => boolean) => Promise<T>): Promise<T> {
    const inFlight = this.join<T>(key)
    if (inFlight !== undefined) return inFlight
    // Registered before the task begins, so that calls from within the task join it.
    const start = Promise.resolve().then(() => task(() => flight.isCurrent))
    const result = start.finally(() => {
      if (this.#inFlight.get(key) === flight) this.#inFlight.delete(key)
    })
    const flight: Flight = { result, isCurrent: true }
    this.#inFlight.set(key, flight)
    return result
  }

  /** Call it before a write to the key: later calls do not join the task in flight, and its result is not stored. */
  invalidate(key: string): void {
    if (this.#inFlight.size === 0) return
    const flight = this.#inFlight.get(key)
    if (flight === undefined) return
    flight.isCurrent = false
    this.#inFlight.delete(key)
  }

  /** Invalidates every key. */
  invalidateAll(): void {
    for (const key of [...this.#inFlight.keys()]) this.invalidate(key)
  }
}
