interface Flight {
  readonly result: Promise<unknown>
  /** Whether what it brings may be kept. */
  current: boolean
}

/** Runs one task per key at a time; whoever asks meanwhile shares its result, or its failure. */
export class SingleFlight {
  readonly #running = new Map<string, Flight>()

  /** The run under way for `key`, if there is one. */
  join<T>(key: string): Promise<T> | undefined {
    return this.#running.size === 0
      ? undefined
      : (this.#running.get(key)?.result as Promise<T> | undefined)
  }

  /** Runs `task`, or joins its run. The task can ask whether its key has been left alone meanwhile. */
  run<T>(key: string, task: (isCurrent: () => boolean) => Promise<T>): Promise<T> {
    const running = this.join<T>(key)
    if (running !== undefined) return running
    // Known before the task begins: what it asks for itself must find it.
    const start = Promise.resolve().then(() => task(() => flight.current))
    const result = start.finally(() => {
      if (this.#running.get(key) === flight) this.#running.delete(key)
    })
    const flight: Flight = { result, current: true }
    this.#running.set(key, flight)
    return result
  }

  /** The key has been written or deleted: nobody joins a run that began before, and what it brings is not kept. */
  invalidate(key: string): void {
    if (this.#running.size === 0) return
    const flight = this.#running.get(key)
    if (flight === undefined) return
    flight.current = false
    this.#running.delete(key)
  }

  /** The same for every key. */
  invalidateAll(): void {
    for (const key of [...this.#running.keys()]) this.invalidate(key)
  }
}
