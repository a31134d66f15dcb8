import { CacheError } from '../errors.ts'
import type { Awaitable } from '../store.ts'

/** Open until closed, closed once: written here so that no driver writes it again. */
export class Lifecycle {
  readonly #store: string
  #closing: Promise<void> | undefined

  constructor(store: string) {
    this.#store = store
  }

  /** @throws CacheError `ERR_CACHE_CLOSED` after `close()` */
  assertOpen(operation: string): void {
    if (this.#closing !== undefined) {
      throw new CacheError('ERR_CACHE_CLOSED', `Used after close(): ${this.#store}.`, {
        store: this.#store,
        operation,
      })
    }
  }

  /** Runs `release` the first time; every call waits for that one. */
  close(release: () => Awaitable<void>): Promise<void> {
    this.#closing ??= (async () => release())()
    return this.#closing
  }
}
