import { Deferred } from '../time/deferred.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { errorFor, outcomeOf } from './batch-error.ts'
import type { Batch } from './batch-queue.ts'

/** Keys that are read by one call. */
export class GetBatch implements Batch {
  readonly #store: AnyStore
  readonly #items = new Map<string, Deferred<unknown>>()

  constructor(store: AnyStore) {
    this.#store = store
  }

  get size(): number {
    return this.#items.size
  }

  has(key: string): boolean {
    return this.#items.has(key)
  }

  add(key: string): Promise<unknown> {
    let item = this.#items.get(key)
    if (item === undefined) {
      item = new Deferred()
      this.#items.set(key, item)
    }
    return item.promise
  }

  send(): Promise<void> | undefined {
    if (this.#items.size > 1) return this.#sendMany()
    for (const [key, item] of this.#items) item.resolveWith(() => this.#store.get(key))
    return undefined
  }

  async #sendMany(): Promise<void> {
    try {
      const found = await this.#store.getMany([...this.#items.keys()])
      let index = 0
      for (const item of this.#items.values()) item.resolve(found[index++])
    } catch (error) {
      settleEach(this.#items, error, 'get')
    }
  }
}

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

  send(): Promise<void> | undefined {
    if (this.#items.size > 1) return this.#sendMany()
    for (const [key, result] of this.#results) {
      result.resolveWith(() => this.#store.set(key, this.#items.get(key), this.#ttl))
    }
    return undefined
  }

  async #sendMany(): Promise<void> {
    try {
      await this.#store.setMany([...this.#items], this.#ttl)
      for (const result of this.#results.values()) result.resolve(undefined)
    } catch (error) {
      settleEach(this.#results, error, 'set')
    }
  }
}

/** Settles the calls of a batch that rejected: each with the outcome of its own key, or with an error of its own. */
function settleEach(
  results: ReadonlyMap<string, Deferred<unknown>>,
  error: unknown,
  operation: string,
): void {
  let index = 0
  for (const [key, result] of results) {
    const outcome = outcomeOf(error, index++)
    if (outcome.status === 'fulfilled') result.resolve(outcome.value)
    else result.reject(errorFor(key, operation, outcome.reason))
  }
}
