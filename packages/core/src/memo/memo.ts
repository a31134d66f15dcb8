import { AsyncLocalStorage } from 'node:async_hooks'
import type { Awaitable, CacheStore, ReadOptions } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { type StoreOperation, wrapStore } from '../wrappers/wrap-store.ts'
import { MemoizedReads } from './memoized-reads.ts'

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
