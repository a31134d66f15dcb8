/** Runs one task per key at a time; whoever asks meanwhile shares its result, or its failure. */
export class SingleFlight {
  readonly #running = new Map<string, Promise<unknown>>()

  /** The run under way for `key`, if there is one. */
  join<T>(key: string): Promise<T> | undefined {
    return this.#running.size === 0 ? undefined : (this.#running.get(key) as Promise<T> | undefined)
  }

  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const running = this.join<T>(key)
    if (running !== undefined) return running
    const started = task().finally(() => this.#running.delete(key))
    this.#running.set(key, started)
    return started
  }
}
