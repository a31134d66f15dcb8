/** A load in progress. */
export interface ActiveLoad {
  abort(reason: unknown): void
  /** Lets other processes load, before the store is closed. */
  readonly endClaim?: (() => Promise<unknown>) | undefined
}

/** The loads of all caches over one store, for `close()`. */
export class ActiveLoads {
  readonly #loads = new Set<ActiveLoad>()
  readonly #background = new Set<Promise<void>>()

  add(load: ActiveLoad): void {
    this.#loads.add(load)
  }

  remove(load: ActiveLoad): void {
    this.#loads.delete(load)
  }

  /** Registers a refresh for which no caller waits. */
  trackBackground(work: Promise<void>): void {
    this.#background.add(work)
    const remove = () => this.#background.delete(work)
    work.then(remove, remove)
  }

  /** Aborts all loads, ends their claims, and waits for those in the background. */
  async close(reason: unknown): Promise<void> {
    const loads = [...this.#loads]
    for (const load of loads) load.abort(reason)
    const ends = loads.map((load) => load.endClaim?.())
    await Promise.allSettled([...this.#background, ...ends])
  }
}
