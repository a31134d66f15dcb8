import type { Awaitable, CacheStore, ReadOptions } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'
import { BatchError, outcomeOf } from './batch-error.ts'
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

/**
 * Makes the calls of one key take effect in the order in which they were made, for a backend whose requests overtake
 * each other because they travel on several connections. Reads of a key run side by side, a write waits for the calls
 * before it. Of a call for several keys, only the keys with calls in flight wait.
 *
 * @example
 * const ordered = withKeyOrder(memory())
 * await Promise.all([ordered.set('a', 'first'), ordered.set('a', 'second')]) // 'second' is stored
 */
export function withKeyOrder<S extends CacheStore>(store: S): S {
  const inner = store as unknown as AnyStore
  const order = new KeyOrder()
  const others = wrapStore(store, (operation, call, args) =>
    singleKeyWrites.has(operation) ? order.run([args[0] as string], true, call) : call(),
  )
  const get = (key: string, options?: ReadOptions) =>
    order.run([key], false, () => inner.get(key, options))

  const getMany = (keys: readonly string[], options?: ReadOptions): Awaitable<unknown[]> => {
    const read = (some: readonly string[]) =>
      order.run(some, false, () => inner.getMany(some, options))
    const [idle, busy] = order.split(keys, (key) => key, false)
    return busy.length === 0 ? read(keys) : joinParts(keys, [idle, busy], read)
  }
  const setMany = (entries: readonly (readonly [string, unknown])[], ttl?: number) => {
    const write = (some: readonly (readonly [string, unknown])[]) => {
      const keys = some.map(([key]) => key)
      return order.run(keys, true, () => inner.setMany(some, ttl))
    }
    const [idle, busy] = order.split(entries, ([key]) => key, true)
    if (busy.length === 0 || idle.length === 0) return write(entries)
    return joinParts(entries, [idle, busy], write).then(() => {})
  }
  const deleteMany = (keys: readonly string[]) =>
    order.run(keys, true, () => inner.deleteMany(keys))
  return Object.assign(others, { get, getMany, setMany, deleteMany })
}

/**
 * Makes a call for each part of the entries. If one fails, rejects when all have settled, with the outcome of each
 * entry: the others must neither fail with it nor take effect after the caller has received the failure.
 */
async function joinParts<E>(
  entries: readonly E[],
  parts: readonly (readonly E[])[],
  call: (part: readonly E[]) => Awaitable<unknown>,
): Promise<unknown[]> {
  const results = await Promise.allSettled(
    parts.map(async (part) => (part.length === 0 ? undefined : call(part))),
  )
  const outcomes = new Map<E, PromiseSettledResult<unknown>>()
  for (const [index, part] of parts.entries()) {
    const result = results[index] as PromiseSettledResult<unknown>
    for (const [at, entry] of part.entries()) outcomes.set(entry, outcomeAt(result, at))
  }
  const ordered = entries.map((entry) => outcomes.get(entry) as PromiseSettledResult<unknown>)
  if (results.some(({ status }) => status === 'rejected')) throw new BatchError(ordered)
  return ordered.map((outcome) => (outcome as PromiseFulfilledResult<unknown>).value)
}

/** The outcome of one entry: reads return a list, writes nothing. */
function outcomeAt(
  result: PromiseSettledResult<unknown>,
  at: number,
): PromiseSettledResult<unknown> {
  if (result.status === 'rejected') return outcomeOf(result.reason, at)
  return { status: 'fulfilled', value: (result.value as unknown[] | undefined)?.[at] }
}
