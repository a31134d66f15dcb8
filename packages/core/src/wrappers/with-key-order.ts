import type { Awaitable, CacheStore, ReadOptions } from '../store.ts'
import type { AnyStore } from '../values/entry-codec.ts'
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
    return busy.length === 0 ? read(keys) : readBoth(keys, idle, busy, read)
  }
  const setMany = (entries: readonly (readonly [string, unknown])[], ttl?: number) => {
    const write = (some: readonly (readonly [string, unknown])[]) => {
      const keys = some.map(([key]) => key)
      return order.run(keys, true, () => inner.setMany(some, ttl))
    }
    const [idle, busy] = order.split(entries, ([key]) => key, true)
    if (busy.length === 0 || idle.length === 0) return write(entries)
    return Promise.all([write(idle), write(busy)]).then(() => {})
  }
  const deleteMany = (keys: readonly string[]) =>
    order.run(keys, true, () => inner.deleteMany(keys))
  return Object.assign(others, { get, getMany, setMany, deleteMany })
}

async function readBoth(
  keys: readonly string[],
  idle: readonly string[],
  busy: readonly string[],
  read: (keys: readonly string[]) => Awaitable<unknown[]>,
): Promise<unknown[]> {
  const [first, second] = await Promise.all([idle.length === 0 ? [] : read(idle), read(busy)])
  const items = new Map<string, unknown>()
  for (const [index, key] of idle.entries()) items.set(key, first[index])
  for (const [index, key] of busy.entries()) items.set(key, second[index])
  return keys.map((key) => items.get(key))
}
