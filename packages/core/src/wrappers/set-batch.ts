import { Deferred } from '../time/deferred.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { errorFor, outcomeOf } from './batch-error.ts'
import type { Batch } from './batch-queue.ts'

/** Items with the same ttl that are stored by one call. */
export class SetBatch implements Batch {
  readonly #store: AnyStore
  readonly #ttl: number | undefined
  readonly #items = new Map<string, unknown>()
  readonly #results = new Map<string, Deferred<unknown>>()

  constructor(store: AnyStore, ttl: number | undefined) {
    this.#store = store
    this.#ttl = ttl
  }

  get size(): number {
    return this.#items.size
  }

  has(key: string): boolean {
    return this.#items.has(key)
  }

  add(key: string, item: unknown): Promise<void> {
    this.#items.set(key, item)
    let result = this.#results.get(key)
    if (result === undefined) {
      result = new Deferred()
      this.#results.set(key, result)
    }
    return result.promise as Promise<void>
  }

  send(): Promise<unknown> {
    if (this.#items.size > 1) return this.#sendMany()
    for (const [key, result] of this.#results) {
      result.resolveWith(() => this.#store.set(key, this.#items.get(key), this.#ttl))
      return result.promise.then(ignore, ignore)
    }
    return Promise.resolve()
  }

  async #sendMany(): Promise<void> {
    try {
      await this.#store.setMany([...this.#items], this.#ttl)
      for (const result of this.#results.values()) result.resolve(undefined)
    } catch (error) {
      this.#settleEach(error)
    }
  }

  /** Each call gets the outcome of its own key, and an error of its own. */
  #settleEach(error: unknown): void {
    let index = 0
    for (const [key, result] of this.#results) {
      const outcome = outcomeOf(error, index++)
      if (outcome.status === 'fulfilled') result.resolve(outcome.value)
      else result.reject(errorFor(key, 'set', outcome.reason))
    }
  }
}

function ignore(): void {}
