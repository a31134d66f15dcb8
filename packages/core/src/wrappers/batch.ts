import type { Awaitable } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import type { Batch } from './batch-queue.ts'

/** A promise that is resolved or rejected later. */
class Deferred<T> {
  readonly promise: Promise<T>
  resolve!: (result: Awaitable<T>) => void
  reject!: (reason: unknown) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  /** Resolves to the result of `call`, and rejects if it throws. */
  resolveWith(call: () => Awaitable<T>): void {
    try {
      this.resolve(call())
    } catch (error) {
      this.reject(error)
    }
  }
}

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
      for (const item of this.#items.values()) item.reject(error)
    }
  }
}

/** Items with the same ttl that are stored by one call. */
export class SetBatch implements Batch {
  readonly #store: AnyStore
  readonly #ttl: number | undefined
  readonly #items = new Map<string, unknown>()
  readonly #done = new Deferred<void>()

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
    return this.#done.promise
  }

  send(): Promise<void> | undefined {
    if (this.#items.size > 1) return this.#sendMany()
    for (const [key, item] of this.#items) {
      this.#done.resolveWith(() => this.#store.set(key, item, this.#ttl))
    }
    return undefined
  }

  #sendMany(): Promise<void> {
    this.#done.resolveWith(() => this.#store.setMany([...this.#items], this.#ttl))
    return this.#done.promise.catch(() => {})
  }
}
