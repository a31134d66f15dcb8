import type { AnyStore, Awaitable, KeyPlacement, ReadOptions, StoreLimits } from '../store.ts'

/**
 * A store that forwards every member of the contract to another one. What a subclass changes, it overrides; an optional
 * member is absent where the other store has none.
 */
export class StoreDecorator implements AnyStore {
  readonly name: string
  readonly payload: 'bytes' | 'entry'
  readonly durable: boolean
  readonly processLocal: boolean
  getWithTtl?: NonNullable<AnyStore['getWithTtl']>
  time?: () => Awaitable<number>
  scan?: (prefix: string) => AsyncIterable<readonly string[]>
  consistencyToken?: () => Awaitable<string>
  observe?: (token: string) => void
  protected readonly inner: AnyStore

  constructor(inner: AnyStore) {
    this.name = inner.name
    this.payload = inner.payload
    this.durable = inner.durable === true
    this.processLocal = inner.processLocal === true
    this.inner = inner
    if (inner.getWithTtl !== undefined) this.getWithTtl = inner.getWithTtl.bind(inner)
    if (inner.time !== undefined) this.time = inner.time.bind(inner)
    if (inner.scan !== undefined) this.scan = inner.scan.bind(inner)
    if (inner.consistencyToken !== undefined)
      this.consistencyToken = inner.consistencyToken.bind(inner)
    if (inner.observe !== undefined) this.observe = inner.observe.bind(inner)
  }

  /** Read from the store each time: some limits are known only after the backend has replied. */
  get limits(): StoreLimits {
    return this.inner.limits
  }

  get placement(): KeyPlacement | undefined {
    return this.inner.placement
  }

  get diagnostics(): AnyStore['diagnostics'] {
    return this.inner.diagnostics
  }

  get(key: string, options?: ReadOptions): Awaitable<unknown> {
    return this.inner.get(key, options)
  }

  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> {
    return this.inner.getMany(keys, options)
  }

  set(key: string, item: unknown, ttl?: number): Awaitable<void> {
    return this.inner.set(key, item, ttl)
  }

  setMany(entries: readonly (readonly [string, unknown])[], ttl?: number): Awaitable<void> {
    return this.inner.setMany(entries, ttl)
  }

  add(key: string, item: unknown, ttl?: number): Awaitable<boolean> {
    return this.inner.add(key, item, ttl)
  }

  compareAndSet(key: string, expected: unknown, next: unknown, ttl?: number): Awaitable<boolean> {
    return this.inner.compareAndSet(key, expected, next, ttl)
  }

  increment(key: string, by: number, ttl?: number): Awaitable<number> {
    return this.inner.increment(key, by, ttl)
  }

  touch(key: string, ttl?: number): Awaitable<boolean> {
    return this.inner.touch(key, ttl)
  }

  delete(key: string): Awaitable<boolean> {
    return this.inner.delete(key)
  }

  deleteMany(keys: readonly string[]): Awaitable<number> {
    return this.inner.deleteMany(keys)
  }

  clear(): Awaitable<void> {
    return this.inner.clear()
  }

  ping(): Awaitable<void> {
    return this.inner.ping()
  }

  close(): Promise<void> {
    return this.inner.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
