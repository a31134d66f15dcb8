import type { Awaitable, ReadOptions, StoreLimits } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import type { KeyOrder } from './key-order.ts'

/**
 * The store of a cache. Calls for one key reach the store in the order in which they are made, also after a write that has
 * to read something first. Calls for keys without such a write are passed on at once: the store itself keeps their order.
 */
export class OrderedStore implements AnyStore {
  readonly name: string
  readonly payload: 'bytes' | 'entry'
  readonly durable: boolean
  readonly processLocal: boolean
  readonly time?: () => Awaitable<number>
  readonly scan?: (prefix: string) => AsyncIterable<readonly string[]>
  readonly getWithTtl?: NonNullable<AnyStore['getWithTtl']>
  readonly consistencyToken?: () => Awaitable<string>
  readonly observe?: (token: string) => void
  readonly #store: AnyStore
  readonly #order: KeyOrder

  /** @param order that of all caches whose keys are the same */
  constructor(store: AnyStore, order: KeyOrder) {
    this.name = store.name
    this.payload = store.payload
    this.durable = store.durable === true
    this.processLocal = store.processLocal === true
    this.#store = store
    this.#order = order
    const { scan, time, getWithTtl, consistencyToken, observe } = store
    if (scan !== undefined) this.scan = (prefix) => scan.call(store, prefix)
    if (time !== undefined) this.time = () => time.call(store)
    if (getWithTtl !== undefined) {
      this.getWithTtl = (keys, options) =>
        this.#order.run(keys, false, () => getWithTtl.call(store, keys, options))
    }
    if (consistencyToken !== undefined) this.consistencyToken = () => consistencyToken.call(store)
    if (observe !== undefined) this.observe = (token) => observe.call(store, token)
  }

  /** Read from the store each time: some limits are known only after the backend has replied. */
  get limits(): StoreLimits {
    return this.#store.limits
  }

  /**
   * Calls `write`, which reads something before it writes the keys, with the store itself. Later calls for the keys wait
   * until it has settled.
   */
  async writeLater<T>(keys: readonly string[], write: (store: AnyStore) => Promise<T>): Promise<T> {
    return this.#order.run(keys, true, () => write(this.#store))
  }

  /**
   * Calls `write` with the store itself. It may need several requests; other writes of this operation for the key overlap with
   * it, and all other later calls for the key wait until it has settled.
   */
  overlap<T>(
    operation: 'add' | 'increment',
    key: string,
    write: (store: AnyStore) => Awaitable<T>,
  ): Awaitable<T> {
    return this.#order.overlap(operation, key, write, this.#store)
  }

  get(key: string, options?: ReadOptions): Awaitable<unknown> {
    if (!this.#order.has(key)) return this.#store.get(key, options)
    return this.#order.run([key], false, () => this.#store.get(key, options))
  }

  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> {
    if (this.#order.isIdle || !this.#order.isBusy(keys)) return this.#store.getMany(keys, options)
    return this.#order.run(keys, false, () => this.#store.getMany(keys, options))
  }

  // Each write checks first whether it has to wait: the functions and arrays for that would add to the cost of every call.

  set(key: string, item: unknown, ttl?: number): Awaitable<void> {
    if (!this.#order.has(key)) return this.#store.set(key, item, ttl)
    return this.#order.run([key], true, () => this.#store.set(key, item, ttl))
  }

  setMany(entries: readonly (readonly [string, unknown])[], ttl?: number): Awaitable<void> {
    if (this.#order.isIdle) return this.#store.setMany(entries, ttl)
    const keys = entries.map(([key]) => key)
    return this.#order.run(keys, true, () => this.#store.setMany(entries, ttl))
  }

  add(key: string, item: unknown, ttl?: number): Awaitable<boolean> {
    if (!this.#order.has(key)) return this.#store.add(key, item, ttl)
    return this.#order.run([key], true, () => this.#store.add(key, item, ttl))
  }

  compareAndSet(key: string, expected: unknown, next: unknown, ttl?: number): Awaitable<boolean> {
    if (!this.#order.has(key)) return this.#store.compareAndSet(key, expected, next, ttl)
    const call = () => this.#store.compareAndSet(key, expected, next, ttl)
    return this.#order.run([key], true, call)
  }

  increment(key: string, by: number, ttl?: number): Awaitable<number> {
    if (!this.#order.has(key)) return this.#store.increment(key, by, ttl)
    return this.#order.run([key], true, () => this.#store.increment(key, by, ttl))
  }

  touch(key: string, ttl?: number): Awaitable<boolean> {
    if (!this.#order.has(key)) return this.#store.touch(key, ttl)
    return this.#order.run([key], true, () => this.#store.touch(key, ttl))
  }

  delete(key: string): Awaitable<boolean> {
    if (!this.#order.has(key)) return this.#store.delete(key)
    return this.#order.run([key], true, () => this.#store.delete(key))
  }

  deleteMany(keys: readonly string[]): Awaitable<number> {
    if (this.#order.isIdle) return this.#store.deleteMany(keys)
    return this.#order.run(keys, true, () => this.#store.deleteMany(keys))
  }

  clear(): Awaitable<void> {
    return this.#store.clear()
  }

  ping(): Awaitable<void> {
    return this.#store.ping()
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
