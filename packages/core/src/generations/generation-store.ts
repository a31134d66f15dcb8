import type { Lifecycle } from '../calls/lifecycle.ts'
import type { StoreDiagnostics } from '../diagnostics.ts'
import type { Awaitable, ReadOptions, StoreLimits } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import type { Generation } from './generation.ts'
import type { CallKind, PrefixedCall } from './unconfirmed-call.ts'

/**
 * A store within a prefix of a store that cannot list its keys. `clear()` begins a new {@link Generation}; items of
 * earlier generations expire or are evicted.
 */
export class GenerationStore implements AnyStore {
  readonly name: string
  readonly payload: 'bytes' | 'entry'
  readonly durable: boolean
  readonly processLocal: boolean
  readonly getWithTtl?: NonNullable<AnyStore['getWithTtl']>
  readonly diagnostics: StoreDiagnostics | undefined
  readonly #store: AnyStore
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
    this.name = store.name
    this.payload = store.payload
    this.durable = store.durable === true
    this.processLocal = store.processLocal === true
    const { getWithTtl } = store
    if (getWithTtl !== undefined) {
      this.getWithTtl = (keys, options) =>
        this.#read('getWithTtl', options, (prefix) =>
          getWithTtl.call(
            store,
            keys.map((key) => prefix + key),
            options,
          ),
        )
    }
    this.#store = store
    this.#generation = generation
    this.#lifecycle = lifecycle
    this.#closeStore = closeStore
    this.diagnostics = store.diagnostics && this.#diagnosticsOf(store.diagnostics)
  }

  /** Read from the store each time: some limits are known only after the backend has replied. */
  get limits(): StoreLimits {
    const { limits } = this.#store
    return { ...limits, keyBytes: limits.keyBytes - this.#generation.keyPrefixBytes }
  }

  get(key: string, options?: ReadOptions): Awaitable<unknown> {
    const call = (prefix: string) => this.#store.get(prefix + key, options)
    if (options?.confirmGeneration !== 'on-miss') return this.#read('get', options, call)
    return this.#getConfirmingMiss(options, call)
  }

  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> {
    return this.#read('getMany', options, (prefix) =>
      this.#store.getMany(
        keys.map((key) => prefix + key),
        options,
      ),
    )
  }

  set(key: string, item: unknown, ttl?: number): Awaitable<void> {
    return this.#confirmed('set', (prefix) => this.#store.set(prefix + key, item, ttl))
  }

  setMany(entries: readonly (readonly [string, unknown])[], ttl?: number): Awaitable<void> {
    return this.#confirmed('setMany', (prefix) =>
      this.#store.setMany(
        entries.map(([key, item]) => [prefix + key, item] as const),
        ttl,
      ),
    )
  }

  add(key: string, item: unknown, ttl?: number): Awaitable<boolean> {
    return this.#confirmed('add', (prefix) => this.#store.add(prefix + key, item, ttl), 'add')
  }

  compareAndSet(key: string, expected: unknown, next: unknown, ttl?: number): Awaitable<boolean> {
    const call = (prefix: string) => this.#store.compareAndSet(prefix + key, expected, next, ttl)
    return this.#confirmed('compareAndSet', call, 'change')
  }

  increment(key: string, by: number, ttl?: number): Awaitable<number> {
    return this.#confirmed('increment', (prefix) => this.#store.increment(prefix + key, by, ttl))
  }

  touch(key: string, ttl?: number): Awaitable<boolean> {
    return this.#confirmed('touch', (prefix) => this.#store.touch(prefix + key, ttl), 'change')
  }

  delete(key: string): Awaitable<boolean> {
    return this.#confirmed('delete', (prefix) => this.#store.delete(prefix + key), 'change')
  }

  deleteMany(keys: readonly string[]): Awaitable<number> {
    const call = (prefix: string) => this.#store.deleteMany(keys.map((key) => prefix + key))
    return this.#confirmed('deleteMany', call, 'change')
  }

  clear(): Promise<void> {
    return this.#lifecycle.run('clear', () => this.#generation.clear())
  }

  ping(): Awaitable<void> {
    return this.#store.ping()
  }

  time(): Promise<number> {
    return this.#generation.time()
  }

  close(): Promise<void> {
    return this.#lifecycle.close(this.#closeStore)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  consistencyToken(): Awaitable<string> {
    return this.#store.consistencyToken?.() ?? ''
  }

  observe(token: string): void {
    this.#store.observe?.(token)
  }

  /** The keys of the inner store contain the generation. */
  #diagnosticsOf(inner: StoreDiagnostics): StoreDiagnostics {
    const check: StoreDiagnostics['check'] = (options) => inner.check(options)
    if (inner.locate === undefined) return { check }
    const locate = async (key: string) =>
      this.#read('get', undefined, (prefix) => inner.locate?.(prefix + key) ?? '')
    return { check, locate }
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
