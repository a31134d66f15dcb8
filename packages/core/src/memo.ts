import { AsyncLocalStorage } from 'node:async_hooks'
import type { AnyStore, Awaitable, CacheStore, ReadOptions } from './store.ts'
import { getOutcomes, resultOf, valuesOf } from './wrappers/batch-error.ts'
import { type StoreOperation, wrapStore } from './wrappers/wrap-store.ts'

/** The reads of a scope, by store. */
type Scope = Map<AnyStore, MemoizedReads>

const scopes = new AsyncLocalStorage<Scope>()

/** Memoizes the reads of a store. */
export interface Memo {
  /**
   * Wraps a store so that repeated reads of a key within a {@link memo.scope} are made once, also those of missing keys.
   * A write in the scope drops the reads of its keys. Changes by other requests and processes, and the expiry of items, are
   * not seen until the scope ends; reads with an explicit `consistency` always reach the store. A scope keeps up to 1,000
   * reads. Outside a scope, the store is used as it is.
   *
   * @example
   * const memoized = new Cache(memo(store))
   * await memo.scope(async () => {
   *   await memoized.get('settings')
   *   await memoized.get('settings') // Does not reach the store.
   * })
   */
  <S extends CacheStore>(store: S): S

  /**
   * Runs `work` in a scope of its own, for example the rest of a request. Returns its result.
   *
   * @example
   * const middleware = (_request: unknown, _response: unknown, next: () => void) => memo.scope(next)
   */
  scope<T>(work: () => T): T
}

function memoize<S extends CacheStore>(store: S): S {
  const inner = store as unknown as AnyStore
  const wrapped = wrapStore(store, (operation, call, args) => {
    const reads = readsOf(inner)
    return reads === undefined || isRead(operation)
      ? call()
      : reads.write(keysOf(operation, args), call)
  })
  const get = (key: string, options?: ReadOptions): Awaitable<unknown> => {
    const reads = options?.consistency === undefined ? readsOf(inner) : undefined
    return reads === undefined ? inner.get(key, options) : reads.get(key)
  }
  const getMany = (keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> => {
    const reads = options?.consistency === undefined ? readsOf(inner) : undefined
    return reads === undefined ? inner.getMany(keys, options) : reads.getMany(keys)
  }
  return Object.assign(wrapped, { get, getMany })
}

export const memo: Memo = Object.assign(memoize, {
  scope: <T>(work: () => T): T => scopes.run(new Map(), work),
})

function readsOf(store: AnyStore): MemoizedReads | undefined {
  const scope = scopes.getStore()
  if (scope === undefined) return undefined
  let reads = scope.get(store)
  if (reads === undefined) {
    reads = new MemoizedReads(store)
    scope.set(store, reads)
  }
  return reads
}

function isRead(operation: StoreOperation): boolean {
  return readOperations.has(operation)
}

const readOperations: ReadonlySet<StoreOperation> = new Set<StoreOperation>([
  'getWithTtl',
  'ping',
  'scan',
  'consistencyToken',
  'time',
])

/** The keys whose reads end with an operation; `undefined` for all. */
function keysOf(operation: StoreOperation, [first]: readonly unknown[]): string[] | undefined {
  if (operation === 'clear' || operation === 'close') return undefined
  if (operation === 'setMany') return (first as [string, unknown][]).map(([key]) => key)
  return operation === 'deleteMany' ? [...(first as string[])] : [first as string]
}

const maxReads = 1_000

/** The reads that a scope has made of a store, also those in flight. */
class MemoizedReads {
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
      const reading = getOutcomes(this.#store, missing)
      for (const [index, key] of missing.entries()) {
        const read = reading.then((outcomes) =>
          resultOf(outcomes[index] as PromiseSettledResult<unknown>),
        )
        found.set(key, read)
        this.#keep(key, read)
      }
    }
    // An error of the store has the outcomes of the keys that were missing, not of those of this call.
    return Promise.allSettled(keys.map((key) => found.get(key))).then(valuesOf)
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
