import type { AnyStore, Awaitable, ReadOptions } from '../store.ts'
import type { KeyOrder } from './key-order.ts'
import { StoreDecorator } from './store-decorator.ts'

/**
 * The store of a cache. Calls for one key reach the store in the order in which they are made, also after a write that has
 * to read something first. Calls for keys without such a write are passed on at once: the store itself keeps their order.
 */
export class OrderedStore extends StoreDecorator {
  readonly #order: KeyOrder

  /** @param order that of all caches whose keys are the same */
  constructor(store: AnyStore, order: KeyOrder) {
    super(store)
    this.#order = order
    const { getWithTtl } = this
    if (getWithTtl === undefined) return
    this.getWithTtl = (keys, options) => order.run(keys, false, () => getWithTtl(keys, options))
  }

  /**
   * Calls `write`, which reads something before it writes the keys, with the store itself. Later calls for the keys wait
   * until it has settled.
   */
  async writeLater<T>(keys: readonly string[], write: (store: AnyStore) => Promise<T>): Promise<T> {
    return this.#order.run(keys, true, () => write(this.inner))
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
    return this.#order.overlap(operation, key, write, this.inner)
  }

  // The parameters of a method with a function inside are copied to the heap by each call, so that `get` and `set` have none.

  override get(key: string, options?: ReadOptions): Awaitable<unknown> {
    return this.#order.isIdle ? this.inner.get(key, options) : this.#getInOrder(key, options)
  }

  #getInOrder(key: string, options: ReadOptions | undefined): Awaitable<unknown> {
    if (!this.#order.has(key)) return this.inner.get(key, options)
    return this.#order.run([key], false, () => this.inner.get(key, options))
  }

  override getMany(keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> {
    if (this.#order.isIdle || !this.#order.isBusy(keys)) return this.inner.getMany(keys, options)
    return this.#order.run(keys, false, () => this.inner.getMany(keys, options))
  }

  // Each write checks first whether it has to wait: the functions and arrays for that would add to the cost of every call.

  override set(key: string, item: unknown, ttl?: number): Awaitable<void> {
    return this.#order.isIdle ? this.inner.set(key, item, ttl) : this.#setInOrder(key, item, ttl)
  }

  #setInOrder(key: string, item: unknown, ttl: number | undefined): Awaitable<void> {
    if (!this.#order.has(key)) return this.inner.set(key, item, ttl)
    return this.#order.run([key], true, () => this.inner.set(key, item, ttl))
  }

  override setMany(
    entries: readonly (readonly [string, unknown])[],
    ttl?: number,
  ): Awaitable<void> {
    if (this.#order.isIdle) return this.inner.setMany(entries, ttl)
    const keys = entries.map(([key]) => key)
    return this.#order.run(keys, true, () => this.inner.setMany(entries, ttl))
  }

  override add(key: string, item: unknown, ttl?: number): Awaitable<boolean> {
    if (!this.#order.has(key)) return this.inner.add(key, item, ttl)
    return this.#order.run([key], true, () => this.inner.add(key, item, ttl))
  }

  override compareAndSet(
    key: string,
    expected: unknown,
    next: unknown,
    ttl?: number,
  ): Awaitable<boolean> {
    if (!this.#order.has(key)) return this.inner.compareAndSet(key, expected, next, ttl)
    const call = () => this.inner.compareAndSet(key, expected, next, ttl)
    return this.#order.run([key], true, call)
  }

  override increment(key: string, by: number, ttl?: number): Awaitable<number> {
    if (!this.#order.has(key)) return this.inner.increment(key, by, ttl)
    return this.#order.run([key], true, () => this.inner.increment(key, by, ttl))
  }

  override touch(key: string, ttl?: number): Awaitable<boolean> {
    if (!this.#order.has(key)) return this.inner.touch(key, ttl)
    return this.#order.run([key], true, () => this.inner.touch(key, ttl))
  }

  override delete(key: string): Awaitable<boolean> {
    if (!this.#order.has(key)) return this.inner.delete(key)
    return this.#order.run([key], true, () => this.inner.delete(key))
  }

  override deleteMany(keys: readonly string[]): Awaitable<number> {
    if (this.#order.isIdle) return this.inner.deleteMany(keys)
    return this.#order.run(keys, true, () => this.inner.deleteMany(keys))
  }
}
