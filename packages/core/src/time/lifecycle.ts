import { CacheError } from '../errors.ts'
import type { Awaitable } from '../store.ts'
import { InFlight } from './in-flight.ts'

/**
 * The open and closed state of a store: open until `close()`, closed once, and closed only after the calls in flight.
 *
 * @example
 * class MyStore {
 *   readonly #lifecycle = new Lifecycle('mystore')
 *   get(key: string) {
 *     return this.#lifecycle.run('get', () => this.#client.fetch(key))
 *   }
 *   close() {
 *     return this.#lifecycle.close(() => this.#client.disconnect())
 *   }
 * }
 */
export class Lifecycle {
  readonly #store: string
  readonly #inFlight = new InFlight()
  #closing: Promise<void> | undefined

  /** `store` is the name of the driver, for errors. */
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

  /** Runs a call that `close()` waits for. Rejects with `ERR_CACHE_CLOSED` after `close()`. */
  async run<T>(operation: string, work: () => Awaitable<T>): Promise<T> {
    this.assertOpen(operation)
    this.#inFlight.begin()
    try {
      return await work()
    } finally {
      this.#inFlight.end()
    }
  }

  /** Waits for the calls of `run`, then calls `release` once. Every call returns the same promise. */
  close(release: () => Awaitable<void>): Promise<void> {
    this.#closing ??= this.#release(release)
    return this.#closing
  }

  async #release(release: () => Awaitable<void>): Promise<void> {
    if (this.#inFlight.count > 0) await this.#inFlight.idle()
    await release()
  }
}
