import { CacheError } from '../errors.ts'
import type { Awaitable } from '../store.ts'

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

/**
 * Implements `close()` of a store: waits for the calls in flight, releases resources once, and makes later calls fail.
 *
 * @example
 * class MyStore {
 *   readonly #lifecycle = new Lifecycle('mystore')
 *   readonly #items = new Map<string, Payload>()
 *   get = (key: string) => this.#lifecycle.run('get', () => this.#items.get(key))
 *   close = () => this.#lifecycle.close(() => this.#items.clear())
 * }
 * await new MyStore().close()
 */
export class Lifecycle {
  readonly #store: string
  readonly #inFlight = new InFlight()
  #closing: Promise<void> | undefined

  /** @param store the name of the driver, for errors */
  constructor(store: string) {
    this.#store = store
  }

  /** @throws CacheError `ERR_CACHE_CLOSED` after `close()` */
  assertOpen(operation: string): void {
    if (this.#closing !== undefined) throw closed(this.#store, operation)
  }

  /** Runs a call for which `close()` waits. Rejects with `ERR_CACHE_CLOSED` after `close()`. */
  async run<T>(operation: string, work: () => Awaitable<T>): Promise<T> {
    this.assertOpen(operation)
    this.#inFlight.begin()
    try {
      return await work()
    } finally {
      this.#inFlight.end()
    }
  }

  /** Waits for the calls of `run`, then calls `release`, once. Every call returns the same promise. */
  close(release: () => Awaitable<void>): Promise<void> {
    this.#closing ??= this.#release(release)
    return this.#closing
  }

  async #release(release: () => Awaitable<void>): Promise<void> {
    if (this.#inFlight.count > 0) await this.#inFlight.idle()
    await release()
  }
}

function closed(store: string, operation: string): CacheError {
  const message = `${store} ${operation} failed: close() was called. Create caches once per process, and close them last.`
  return new CacheError('ERR_CACHE_CLOSED', message, { store, operation })
}
