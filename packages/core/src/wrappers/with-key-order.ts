import { Lifecycle } from '../calls/in-flight.ts'
import { CacheError } from '../errors.ts'
import { checkChoice, checkOptionNames, checkTimeout } from '../options/check-options.ts'
import type { AnyStore, Awaitable, CacheStore, ReadOptions } from '../store.ts'
import type { Duration } from '../time/duration.ts'
import { outcomeOf, valuesOf } from './batch-error.ts'
import { KeyOrder } from './key-order.ts'
import { type StoreOperation, wrapStore } from './wrap-store.ts'

const singleKeyWrites: ReadonlySet<StoreOperation> = new Set<StoreOperation>([
  'set',
  'add',
  'compareAndSet',
  'increment',
  'touch',
  'delete',
])

export interface KeyOrderOptions {
  /**
   * How long a call waits for earlier calls of its key. Then it fails with `ERR_CACHE_TIMEOUT` and is not made.
   * @default until they have settled
   */
  readonly timeout?: Duration | undefined
  /**
   * Operations whose calls for one key do not wait for each other, because the store keeps their order itself, for example
   * by merging them. They still wait for those of other operations. @default none
   */
  readonly overlap?: readonly ('add' | 'increment')[] | undefined
}

/**
 * Wraps a store so that the calls for one key take effect in the order in which they were made, for a backend whose
 * requests can overtake each other because they are sent on several connections. Reads of a key run concurrently; a
 * write waits for the earlier calls of its key, and later calls wait for the write. A `getMany`, `getWithTtl` or `setMany`
 * is split if only some of its keys have to wait; a `deleteMany` waits for all its keys. A `clear` and a `scan` wait for the
 * earlier writes of all keys, except those that overlap.
 *
 * @throws TypeError for unknown options; CacheError `ERR_CACHE_CONFIG` for invalid values
 * @example
 * const ordered = withKeyOrder(memory())
 * await Promise.all([ordered.set('a', 'first'), ordered.set('a', 'second')]) // 'second' is stored
 */
export function withKeyOrder<S extends CacheStore>(store: S, options: KeyOrderOptions = {}): S {
  const inner = store as unknown as AnyStore
  checkOptionNames('withKeyOrder', options, { timeout: true, overlap: true })
  const { timeout, overlap = [] } = options
  for (const each of overlap) checkChoice('withKeyOrder: overlap', each, ['add', 'increment'])
  const overlapping: ReadonlySet<StoreOperation> = new Set(overlap)
  const order = new KeyOrder(
    timeout === undefined ? undefined : checkTimeout('withKeyOrder: timeout', timeout),
  )
  const waitedTooLong = (operation: string, key?: string) => () =>
    new CacheError(
      'ERR_CACHE_TIMEOUT',
      `${store.name} ${operation} failed: earlier calls of the key took too long, so it was not sent.`,
      { store: store.name, operation, key },
    )
  const lifecycle = new Lifecycle(store.name)
  const others = wrapStore(store, (operation, call, args) => {
    lifecycle.assertOpen(operation)
    if (operation === 'clear' && !order.isIdle) return lifecycle.run(operation, () => clear(call))
    if (!singleKeyWrites.has(operation)) return call()
    const key = args[0] as string
    const onTimeout = waitedTooLong(operation, key)
    if (overlapping.has(operation)) return order.overlap(operation, key, call, undefined, onTimeout)
    return order.run([key], true, call, onTimeout)
  })
  const clear = async <T>(call: () => Awaitable<T>) => {
    await order.written('')
    return call()
  }
  const { scan } = others
  const scanAfterWrites = async function* (prefix: string) {
    await order.written(prefix)
    yield* scan?.(prefix) ?? []
  }
  // The calls that wait for others have not reached the store yet.
  const close = () =>
    lifecycle.close(async () => {
      await order.idle()
      await inner.close()
    })
  const get = (key: string, readOptions?: ReadOptions) => {
    lifecycle.assertOpen('get')
    return order.run([key], false, () => inner.get(key, readOptions), waitedTooLong('get', key))
  }

  const readMany =
    (operation: string, call: AnyStore['getMany']) =>
    (keys: readonly string[], readOptions?: ReadOptions): Awaitable<unknown[]> => {
      lifecycle.assertOpen(operation)
      const read = (some: readonly string[]) =>
        order.run(some, false, () => call(some, readOptions), waitedTooLong(operation))
      const [idle, busy] = order.split(keys, (key) => key, false)
      return busy.length === 0 ? read(keys) : callForBoth(keys, idle, busy, read)
    }
  const reads = {
    get,
    getMany: readMany('getMany', inner.getMany.bind(inner)),
    ...(inner.getWithTtl && { getWithTtl: readMany('getWithTtl', inner.getWithTtl.bind(inner)) }),
  }
  const setMany = (entries: readonly (readonly [string, unknown])[], ttl?: number) => {
    lifecycle.assertOpen('setMany')
    const write = (some: readonly (readonly [string, unknown])[]) => {
      const keys = some.map(([key]) => key)
      return order.run(keys, true, () => inner.setMany(some, ttl), waitedTooLong('setMany'))
    }
    const [idle, busy] = order.split(entries, ([key]) => key, true)
    if (busy.length === 0 || idle.length === 0) return write(entries)
    return callForBoth(entries, idle, busy, write).then(() => {})
  }
  const deleteMany = (keys: readonly string[]) => {
    lifecycle.assertOpen('deleteMany')
    return order.run(keys, true, () => inner.deleteMany(keys), waitedTooLong('deleteMany'))
  }
  const dispose = { close, [Symbol.asyncDispose]: close }
  const listing = scan && { scan: scanAfterWrites }
  return Object.assign(others, { ...reads, ...listing, setMany, deleteMany, ...dispose })
}

/**
 * Makes one call for each of two parts of the entries. Returns the results, or rejects with the outcomes, in the order of
 * all entries.
 */
async function callForBoth<T>(
  entries: readonly T[],
  idle: readonly T[],
  busy: readonly T[],
  call: (part: readonly T[]) => Awaitable<unknown>,
): Promise<unknown[]> {
  const outcomes = new Map<T, PromiseSettledResult<unknown>>()
  const callFor = async (part: readonly T[]) => {
    if (part.length === 0) return
    try {
      const results = (await call(part)) as readonly unknown[] | undefined
      for (const [index, entry] of part.entries())
        outcomes.set(entry, { status: 'fulfilled', value: results?.[index] })
    } catch (error) {
      for (const [index, entry] of part.entries()) outcomes.set(entry, outcomeOf(error, index))
    }
  }
  await Promise.all([callFor(idle), callFor(busy)])
  return valuesOf(entries.map((entry) => outcomes.get(entry) as PromiseSettledResult<unknown>))
}
