import type { ByteStore, Payload } from '@stowage/core'
import {
  type ConformanceGroup,
  ManualClock,
  type ReferenceOptions,
  ReferenceStore,
} from '@stowage/testing'

export const clock = new ManualClock()
export const wait = (ms: number) => clock.advance(ms)
export const now = () => clock.now()

/** What replaces methods of the reference store to break one rule, and only that. */
export type Mutation = (store: ReferenceStore) => Partial<ByteStore>
export type Row = readonly [ConformanceGroup, Mutation, ReferenceOptions?]

/** Every method that takes a key, with the key changed on the way. */
export function withKeys(change: (key: string) => string): Mutation {
  return (store) => ({
    get: (key) => store.get(change(key)),
    getMany: (keys) => store.getMany(keys.map(change)),
    set: (key, item, ttl) => store.set(change(key), item, ttl),
    setMany: (entries, ttl) =>
      store.setMany(
        entries.map(([key, item]) => [change(key), item]),
        ttl,
      ),
    add: (key, item, ttl) => store.add(change(key), item, ttl),
    compareAndSet: (key, ...rest) => store.compareAndSet(change(key), ...rest),
    increment: (key, by, ttl) => store.increment(change(key), by, ttl),
    touch: (key, ttl) => store.touch(change(key), ttl),
    delete: (key) => store.delete(change(key)),
    deleteMany: (keys) => store.deleteMany(keys.map(change)),
  })
}

/** Every payload read, changed on the way. */
export function withItems(change: (item: Payload | undefined) => Payload | undefined): Mutation {
  return (store) => ({
    get: (key) => change(store.get(key)),
    getMany: (keys) => store.getMany(keys).map(change),
  })
}

/** Every ttl given, changed on the way. */
export function withTtls(change: (ttl: number | undefined) => number | undefined): Mutation {
  return (store) => ({
    set: (key, item, ttl) => store.set(key, item, change(ttl)),
    setMany: (entries, ttl) => store.setMany(entries, change(ttl)),
    add: (key, item, ttl) => store.add(key, item, change(ttl)),
    compareAndSet: (key, a, b, ttl) => store.compareAndSet(key, a, b, change(ttl)),
    increment: (key, by, ttl) => store.increment(key, by, change(ttl)),
    touch: (key, ttl) => store.touch(key, change(ttl)),
  })
}

export const slot = ({ slots }: ReferenceStore, key: string) => slots.get(key)
export const there = ({ slots }: ReferenceStore, key: string) => slots.has(key)
export const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
export const ttlLeft = (store: ReferenceStore, key: string) => {
  const at = slot(store, key)?.expiresAt ?? Infinity
  return at === Infinity || at <= now() ? undefined : at - now()
}
export const list = (store: ReferenceStore, prefix: string) => store.scan?.(prefix) ?? raise()
export const raise = (): never => {
  throw new Error('the reference store can scan')
}
/** A scan of everything, pages filtered. */
export const scanning =
  (pages: (store: ReferenceStore, prefix: string) => AsyncIterable<string[]>): Mutation =>
  (store) => ({ scan: (prefix) => pages(store, prefix) })
export const glob = (prefix: string) =>
  new RegExp(
    `^${prefix
      .replace(/[.+^${}()|\\]/g, '\\$&')
      .replace(/\*/g, '.*')
      .replace(/\?/g, '.')}`,
  )

export const small = { limits: { valueBytes: 1_000 } }
export const coarse = { limits: { ttlStep: 1_000 } }

const methods = [
  'get',
  'getMany',
  'set',
  'setMany',
  'add',
  'compareAndSet',
  'increment',
  'touch',
  'delete',
  'deleteMany',
  'clear',
  'ping',
  'close',
  'scan',
] as const

/** The reference store as plain functions, some of them replaced. */
export function mutate(mutation: Mutation, options: ReferenceOptions = {}): ByteStore {
  const store = new ReferenceStore({ clock, ...options })
  const { name, payload, limits } = store
  const bound = methods.map((method) => [method, store[method]?.bind(store as never)])
  return { name, payload, limits, ...Object.fromEntries(bound), ...mutation(store) }
}
