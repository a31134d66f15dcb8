/** A load in progress. */
export interface ActiveLoad {
  readonly isBackground: boolean
  abort(reason: unknown): void
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

  /** Aborts all loads, and waits for those in the background. */
  async close(reason: unknown): Promise<void> {
    for (const load of this.#loads) load.abort(reason)
    await Promise.allSettled(this.#background)
  }
}
