import type { Awaitable } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import type { Batch } from './batch-queue.ts'

/** A result that is waited for before it is asked for. */
class Deferred<T> {
  readonly result: Promise<T>
  settle!: (result: Awaitable<T>) => void
  fail!: (reason: unknown) => void

  constructor() {
    this.result = new Promise((settle, fail) => {
      this.settle = settle
      this.fail = fail
    })
  }

  /** A store may also throw. */
  begin(call: () => Awaitable<T>): void {
    try {
      this.settle(call())
    } catch (error) {
      this.fail(error)
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
    return item.result
  }

  send(): Promise<void> | undefined {
    if (this.#items.size > 1) return this.#sendMany()
    for (const [key, item] of this.#items) item.begin(() => this.#store.get(key))
    return undefined
  }

  async #sendMany(): Promise<void> {
    try {
      const found = await this.#store.getMany([...this.#items.keys()])
      let index = 0
      for (const item of this.#items.values()) item.settle(found[index++])
    } catch (error) {
      for (const item of this.#items.values()) item.fail(error)
    }
  }
}

/** EntryCodec of one ttl that are stored by one call. */
export class SetBatch implements Batch {
  readonly #store: AnyStore
  readonly #ttl: number | undefined
  readonly #entries = new Map<string, unknown>()
  readonly #done = new Deferred<void>()

  constructor(store: AnyStore, ttl: number | undefined) {
    this.#store = store
    this.#ttl = ttl
  }

  get size(): number {
    return this.#entries.size
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  add(key: string, item: unknown): Promise<void> {
    this.#entries.set(key, item)
    return this.#done.result
  }

  send(): Promise<void> | undefined {
    if (this.#entries.size > 1) return this.#sendMany()
    for (const [key, item] of this.#entries) {
      this.#done.begin(() => this.#store.set(key, item, this.#ttl))
    }
    return undefined
  }

  #sendMany(): Promise<void> {
    this.#done.begin(() => this.#store.setMany([...this.#entries], this.#ttl))
    return this.#done.result.catch(() => {})
  }
}
