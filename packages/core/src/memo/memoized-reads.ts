import type { Awaitable } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'

const maxReads = 1_000

/** The reads that a scope has made of a store, also those in flight. */
export class MemoizedReads {
  readonly #store: AnyStore
  readonly #reads = new Map<string, Awaitable<unknown>>()

  constructor(store: AnyStore) {
    this.#store = store
  }

  get(key: string): Awaitable<unknown> {
    if (this.#reads.has(key)) return this.#reads.get(key)
    const read = this.#store.get(key)
    this.#keep(key, read)
    return read
  }

  getMany(keys: readonly string[]): Awaitable<unknown[]> {
    if (keys.length === 0) return this.#store.getMany(keys)
    const missing = [...new Set(keys)].filter((key) => !this.#reads.has(key))
    const found = new Map(keys.map((key) => [key, this.#reads.get(key)]))
    if (missing.length > 0) {
      const reading = Promise.resolve(this.#store.getMany(missing))
      for (const [index, key] of missing.entries()) {
        const read = reading.then((items) => items[index])
        found.set(key, read)
        this.#keep(key, read)
      }
    }
    return Promise.all(keys.map((key) => found.get(key)))
  }

  /** Makes a write. A read that is sent before its end may return the old value, so it is dropped afterwards as well. */
  write<T>(keys: readonly string[] | undefined, call: () => Awaitable<T>): Awaitable<T> {
    this.#drop(keys)
    const result = call()
    return result instanceof Promise ? result.finally(() => this.#drop(keys)) : result
  }

  #keep(key: string, read: Awaitable<unknown>): void {
    if (this.#reads.size >= maxReads) {
      for (const oldest of this.#reads.keys()) {
        this.#reads.delete(oldest)
        break
      }
    }
    this.#reads.set(key, read)
    if (!(read instanceof Promise)) return
    const settle = (item: unknown) => {
      // Its result from now on, so that a later read is not asynchronous.
      if (this.#reads.get(key) === read) this.#reads.set(key, item)
    }
    read.then(settle, () => {
      if (this.#reads.get(key) === read) this.#reads.delete(key)
    })
  }

  #drop(keys: readonly string[] | undefined): void {
    if (keys === undefined) this.#reads.clear()
    else for (const key of keys) this.#reads.delete(key)
  }
}
