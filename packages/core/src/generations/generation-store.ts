import type { Lifecycle } from '../calls/in-flight.ts'
import type { StoreDiagnostics } from '../diagnostics.ts'
import type { AnyStore, Awaitable, ReadOptions, StoreLimits } from '../store.ts'
import { StoreDecorator } from '../wrappers/store-decorator.ts'
import type { Generation } from './generation.ts'
import type { CallKind, PrefixedCall } from './unconfirmed-call.ts'

/**
 * A store within a prefix of a store that cannot list its keys. `clear()` begins a new {@link Generation}; items of
 * earlier generations expire or are evicted.
 */
export class GenerationStore extends StoreDecorator {
  readonly #generation: Generation
  readonly #lifecycle: Lifecycle
  readonly #closeStore: () => Promise<void>

  /**
   * @param lifecycle that of all stores over the same innermost store
   * @param closeStore closes the innermost store
   */
  constructor(
    store: AnyStore,
    generation: Generation,
    lifecycle: Lifecycle,
    closeStore: () => Promise<void>,
  ) {
    super(store)
    this.#generation = generation
    this.#lifecycle = lifecycle
    this.#closeStore = closeStore
    this.time = () => generation.time()
    const { getWithTtl } = this
    if (getWithTtl === undefined) return
    this.getWithTtl = (keys, options) => {
      const call = (prefix: string) =>
        getWithTtl(
          keys.map((key) => prefix + key),
          options,
        )
      return this.#read('getWithTtl', options, call)
    }
  }

  override get limits(): StoreLimits {
    const { limits } = this.inner
    return { ...limits, keyBytes: limits.keyBytes - this.#generation.keyPrefixBytes }
  }

  override get(key: string, options?: ReadOptions): Awaitable<unknown> {
    const call = (prefix: string) => this.inner.get(prefix + key, options)
    if (options?.confirmGeneration !== 'on-miss') return this.#read('get', options, call)
    return this.#getConfirmingMiss(options, call)
  }

  override getMany(keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> {
    return this.#read('getMany', options, (prefix) =>
      this.inner.getMany(
        keys.map((key) => prefix + key),
        options,
      ),
    )
  }

  override set(key: string, item: unknown, ttl?: number): Awaitable<void> {
    return this.#confirmed('set', (prefix) => this.inner.set(prefix + key, item, ttl))
  }

  override setMany(
    entries: readonly (readonly [string, unknown])[],
    ttl?: number,
  ): Awaitable<void> {
    return this.#confirmed('setMany', (prefix) =>
      this.inner.setMany(
        entries.map(([key, item]) => [prefix + key, item] as const),
        ttl,
      ),
    )
  }

  override add(key: string, item: unknown, ttl?: number): Awaitable<boolean> {
    return this.#confirmed('add', (prefix) => this.inner.add(prefix + key, item, ttl), 'add')
  }

  override compareAndSet(
    key: string,
    expected: unknown,
    next: unknown,
    ttl?: number,
  ): Awaitable<boolean> {
    const call = (prefix: string) => this.inner.compareAndSet(prefix + key, expected, next, ttl)
    return this.#confirmed('compareAndSet', call, 'changeExisting')
  }

  override increment(key: string, by: number, ttl?: number): Awaitable<number> {
    return this.#confirmed('increment', (prefix) => this.inner.increment(prefix + key, by, ttl))
  }

  override touch(key: string, ttl?: number): Awaitable<boolean> {
    return this.#confirmed(
      'touch',
      (prefix) => this.inner.touch(prefix + key, ttl),
      'changeExisting',
    )
  }

  override delete(key: string): Awaitable<boolean> {
    return this.#confirmed('delete', (prefix) => this.inner.delete(prefix + key), 'changeExisting')
  }

  override deleteMany(keys: readonly string[]): Awaitable<number> {
    const call = (prefix: string) => this.inner.deleteMany(keys.map((key) => prefix + key))
    return this.#confirmed('deleteMany', call, 'changeExisting')
  }

  override clear(): Promise<void> {
    return this.#lifecycle.run('clear', () => this.#generation.clear())
  }

  override close(): Promise<void> {
    return this.#lifecycle.close(this.#closeStore)
  }

  /** The keys of the inner store contain the generation. */
  override get diagnostics(): StoreDiagnostics | undefined {
    const inner = super.diagnostics
    if (inner?.locate === undefined) return inner
    const locate = async (key: string) =>
      this.#read('get', undefined, (prefix) => inner.locate?.(prefix + key) ?? '')
    return { check: (options) => inner.check(options), locate }
  }

  async #getConfirmingMiss(options: ReadOptions, call: PrefixedCall<unknown>): Promise<unknown> {
    const found = await this.#read('get', { ...options, confirmGeneration: false }, call)
    return found === undefined ? this.#confirmed('get', call, 'read') : found
  }

  #read<T>(
    operation: string,
    options: ReadOptions | undefined,
    call: PrefixedCall<T>,
  ): Awaitable<T> {
    if (options?.consistency === 'strong' && options.confirmGeneration !== false) {
      return this.#confirmed(operation, call, 'read')
    }
    this.#lifecycle.assertOpen(operation)
    const generation = this.#generation
    if (generation.isFresh()) return call(generation.keyPrefix)
    return this.#lifecycle.run(operation, () => generation.callRefreshing(call))
  }

  #confirmed<T>(operation: string, call: PrefixedCall<T>, kind: CallKind = 'write'): Promise<T> {
    return this.#lifecycle.run(operation, () => this.#generation.callConfirmed(kind, call))
  }
}
