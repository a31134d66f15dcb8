import { type Awaitable, type Clock, type Payload, systemClock } from '@stowage/core'
import { type ByteStore, toBytes, toText, wrapStore } from '@stowage/core/driver'
import {
  type ConformanceGroup,
  ReferenceStore,
  type ReferenceStoreOptions,
  type StoredItem,
} from '@stowage/testing'

/** The store that a mutation changes. */
export class BaseStore extends ReferenceStore {
  readonly clock: Clock

  constructor(options: ReferenceStoreOptions) {
    super(options)
    this.clock = options.clock ?? systemClock
  }
}

/** The methods of the reference store to replace, so that it breaks one rule and no other. */
export type Mutation = (store: BaseStore) => Partial<ByteStore>

/** The group that has to fail, the mutation, and the options of the store. */
export type BrokenStore = readonly [ConformanceGroup, Mutation, ReferenceStoreOptions?]
export type BrokenStores = Readonly<Record<string, BrokenStore>>

/** The options of a store that cannot list its keys. */
export const unlistable = { scan: false }
export const smallValues = { limits: { valueBytes: 1_000 } }
export const coarseTtls = { limits: { ttlStep: 1_000 } }

/** A reference store with the mutation applied. */
export function mutate(mutation: Mutation, options: ReferenceStoreOptions = {}): ByteStore {
  const store = new BaseStore(options)
  return { ...wrapStore<ByteStore>(store, (_operation, call) => call()), ...mutation(store) }
}

/** Changes the key of every call. */
export function withKeys(change: (key: string) => string): Mutation {
  return (store) => ({
    get: (key) => store.get(change(key)),
    getMany: (keys) => store.getMany(keys.map(change)),
    set: (key, payload, ttl) => store.set(change(key), payload, ttl),
    setMany: (entries, ttl) =>
      store.setMany(
        entries.map(([key, payload]) => [change(key), payload]),
        ttl,
      ),
    add: (key, payload, ttl) => store.add(change(key), payload, ttl),
    compareAndSet: (key, ...rest) => store.compareAndSet(change(key), ...rest),
    increment: (key, by, ttl) => store.increment(change(key), by, ttl),
    touch: (key, ttl) => store.touch(change(key), ttl),
    delete: (key) => store.delete(change(key)),
    deleteMany: (keys) => store.deleteMany(keys.map(change)),
  })
}

/** Changes the payloads that reads return; `undefined` is a miss. */
export function withReads(change: (found: Payload | undefined) => Payload | undefined): Mutation {
  return (store) => ({
    get: (key) => change(store.get(key)),
    getMany: (keys) => store.getMany(keys).map(change),
  })
}

/** Changes the payloads that reads return for a hit. */
export function withHits(change: (found: Payload) => Payload): Mutation {
  return withReads((found) => (found === undefined ? undefined : change(found)))
}

/** Changes the payloads of `set`. */
export function withSet(change: (payload: Payload) => Payload): Mutation {
  return (store) => ({ set: (key, payload, ttl) => store.set(key, change(payload), ttl) })
}

/** Changes the ttl of every write. */
export function withTtls(change: (ttl: number | undefined) => number | undefined): Mutation {
  return (store) => ({
    set: (key, payload, ttl) => store.set(key, payload, change(ttl)),
    setMany: (entries, ttl) => store.setMany(entries, change(ttl)),
    add: (key, payload, ttl) => store.add(key, payload, change(ttl)),
    compareAndSet: (key, expected, next, ttl) =>
      store.compareAndSet(key, expected, next, change(ttl)),
    increment: (key, by, ttl) => store.increment(key, by, change(ttl)),
    touch: (key, ttl) => store.touch(key, change(ttl)),
  })
}

/** Replaces the comparison of `compareAndSet`. */
export function withComparison(equal: (stored: Payload, expected: Payload) => boolean): Mutation {
  return (store) => ({
    compareAndSet: (key, expected, next, ttl) => {
      const stored = store.get(key)
      const matches = stored !== undefined && equal(stored, expected)
      return store.compareAndSet(key, matches ? stored : expected, next, ttl)
    },
  })
}

type Increment = (store: BaseStore, key: string, by: number, ttl?: number) => Awaitable<number>

/** Replaces `increment`. */
export function withIncrement(increment: Increment): Mutation {
  return (store) => ({ increment: (key, by, ttl) => increment(store, key, by, ttl) })
}

/** Replaces the error of a rejected `increment`. */
export function withRejection(
  reject: (error: unknown, key: string, store: BaseStore) => never,
): Mutation {
  return withIncrement((store, key, by, ttl) => {
    try {
      return store.increment(key, by, ttl)
    } catch (error) {
      return reject(error, key, store)
    }
  })
}

/** Replaces `scan`. */
export function withScan(
  scan: (store: BaseStore, prefix: string) => AsyncIterable<string[]>,
): Mutation {
  return (store) => ({ scan: (prefix) => scan(store, prefix) })
}

/** The pages of the original `scan`. */
export function pagesOf(store: BaseStore, prefix: string): AsyncIterable<string[]> {
  return store.scan?.(prefix) ?? fail('the reference store has no scan')
}

/** A `scan` that reads all keys and filters them. */
export function filteredScan(matches: (key: string, prefix: string) => boolean): Mutation {
  return withScan(async function* (store, prefix) {
    for await (const page of pagesOf(store, '')) yield page.filter((key) => matches(key, prefix))
  })
}

/** Whether the key begins with the prefix, read as a glob pattern. */
export function matchesGlob(key: string, prefix: string): boolean {
  const pattern = prefix
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.')
  return new RegExp(`^${pattern}`).test(key)
}

/** The text of the stored payload, or `fallback` for a miss. */
export function textOf(store: BaseStore, key: string, fallback: string): string {
  return toText(store.get(key) ?? fallback)
}

export function isExpired(store: BaseStore, item: StoredItem): boolean {
  return item.expiresAt <= store.clock.now()
}

/** Stores an expired item again. */
export function restoreExpired(store: BaseStore, key: string, ttl?: number): void {
  const item = store.items.get(key)
  if (item !== undefined && isExpired(store, item)) store.set(key, item.bytes, ttl)
}

/** Milliseconds until the item expires, or `undefined` if it never does or has expired. */
export function remainingTtl(store: BaseStore, key: string): number | undefined {
  const expiresAt = store.items.get(key)?.expiresAt ?? Infinity
  const remaining = expiresAt - store.clock.now()
  return remaining === Infinity || remaining <= 0 ? undefined : remaining
}

export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Throws an error that is not a `CacheError`. */
export function fail(message: string): never {
  throw new Error(message)
}

/** Makes a call some turns of the event loop later, as a request that another one overtakes. */
export async function later<T>(call: () => Awaitable<T>): Promise<T> {
  await nextTurn()
  await nextTurn()
  return call()
}

/** Stores the payload itself, not a copy. */
export function keepReference(store: BaseStore, key: string, payload: Payload): void {
  const item = store.items.get(key)
  if (item !== undefined) store.items.set(key, { ...item, bytes: toBytes(payload) })
}

/** `add` refuses a key that has been deleted. */
export const refuseDeleted: Mutation = (store) => {
  const deleted = new Set<string>()
  return {
    delete: (key) => {
      deleted.add(key)
      return store.delete(key)
    },
    add: (key, payload, ttl) => !deleted.has(key) && store.add(key, payload, ttl),
  }
}
