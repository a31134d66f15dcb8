import { Deferred } from '../../calls/deferred.ts'
import type { CallEvent } from '../../channels.ts'
import type { Awaitable } from '../../store.ts'
import type { AnyStore } from '../../values/entry-codec.ts'
import { errorFor, outcomeOf } from '../batch-error.ts'
import type { Batch } from './batch-queue.ts'

/** Items with the same ttl that are stored by one call. */
export class SetBatch implements Batch {
  callers: readonly CallEvent[] | undefined = undefined
  readonly #store: AnyStore
  readonly #ttl: number | undefined
  /**
   * Not an array of entries: V8 allocates array literals that outlive a garbage collection once, as in a burst of calls at
   * the start, in the old generation from then on. There, they keep the items alive.
   */
  readonly #items = new Map<string, unknown>()
  /** The number of calls that have got their outcome. */
  #settledCalls = 0
  /** The key of each call. Created for a failure. */
  #keys: readonly string[] | undefined
  readonly #result = new Deferred<void>()

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

  /** Adds a call. The batch must not contain its key. */
  add(key: string, item: unknown): Promise<void> {
    this.#items.set(key, item)
    return this.#result.promise.then(ignore, this.#settleNextCall)
  }

  send(): Awaitable<void> {
    if (this.#items.size === 1)
      for (const [key, item] of this.#items) return this.#store.set(key, item, this.#ttl)
    return this.#store.setMany([...this.#items], this.#ttl)
  }

  settle(reply: Awaitable<void>): void {
    this.#result.resolve(reply)
  }

  /**
   * Each call gets the outcome of its own key, and an error of its own. One function for all calls, instead of one per
   * call: the functions that were passed to `then` are called in the order in which they were passed.
   */
  readonly #settleNextCall = (error: unknown): void => {
    const index = this.#settledCalls++
    this.#keys ??= [...this.#items.keys()]
    const key = this.#keys[index] as string
    const outcome = outcomeOf(error, index)
    if (outcome.status === 'rejected') throw errorFor(key, 'set', outcome.reason)
  }
}

function ignore(): void {}
