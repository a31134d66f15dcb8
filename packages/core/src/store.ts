/**
 * The contract between the facade and a backend. This file is the specification: a driver is complete when it
 * implements every member as described, and `conform()` of `@stowage/testing` verifies that it does.
 *
 * The facade passes valid arguments only. Keys are non-empty, well-formed strings of at most
 * `limits.keyBytes` UTF-8 bytes, prefix and namespace included. A ttl is a positive integer of
 * milliseconds, relative to now; `undefined` means "never expires".
 *
 * What every store guarantees:
 * - It does I/O only when called: the constructor opens nothing, the first command connects.
 * - Every call settles. Where the backend may not reply, the client or `withTimeout` sets a deadline.
 * - Calls for one key take effect in the order in which they are made, also within one tick. `withKeyOrder` provides
 *   that for a backend whose requests overtake each other.
 * - A call fails only because of its own key: calls of one tick share neither their outcome nor their error.
 * - Operations are atomic across all stores on one backend, not only within one store.
 * - Every failure is a `CacheError`, thrown or as a rejection; `errors.ts` lists the codes.
 * - Every write of an item over `limits.valueBytes` fails with `ERR_CACHE_LIMIT`, regardless of the stored item.
 * - It has no policy: no default ttl, no prefix, no encoding, no fallback.
 *
 * @module
 */

import type { StoreDiagnostics } from './diagnostics.ts'
import type { Entry } from './entry.ts'

/**
 * A value, or a promise of it. A store that does not have to wait (memory, an embedded database) returns
 * the value directly, which saves a turn of the microtask queue per hit. Callers `await` both. A promise must be
 * a native `Promise`: thenables are not detected.
 */
export type Awaitable<T> = T | Promise<T>

/**
 * The bytes that a store reads and writes. A string represents its UTF-8 bytes, in both directions, so that neither
 * side has to convert. The receiver must not modify the bytes, and a caller must not modify bytes that it passed
 * until the call has settled. After that it may: a store keeps a copy. Bytes that a read returned never change.
 */
export type Payload = string | Uint8Array

/**
 * How recent a read must be on a backend with replicas that lag behind. Without such replicas, every read is strong.
 * `'eventual'`: may be out of date. `'session'`: includes the writes of this process and those of every consistency
 * token it has observed. `'strong'`: includes every write that was acknowledged before the read.
 */
export type Consistency = (typeof consistencies)[number]
export const consistencies = ['eventual', 'session', 'strong'] as const

export interface ReadOptions {
  /** @default the consistency the store was created with */
  readonly consistency?: Consistency | undefined
  /**
   * Whether a `'strong'` read of a prefix on a backend that cannot list its keys also verifies that the prefix has not
   * been cleared by another process, and rejects if it cannot. Without it, such a clear is noticed within one second.
   * `'on-miss'` verifies it, at any consistency, only if nothing was found: what was written after the clear is never missed.
   * @default true
   */
  readonly confirmGeneration?: boolean | 'on-miss' | undefined
  /**
   * Whether a `compareAndSet` with the item is likely to follow. A store whose backend compares versions of items instead
   * of their bytes can keep the version, and then needs one request for it instead of two. @default false
   */
  readonly forUpdate?: boolean | undefined
}

/** Includes every write that was acknowledged before. */
export const strongRead = { consistency: 'strong' } as const

/** The limits of the backend. The facade respects them. */
export interface StoreLimits {
  /** Maximum length of a key, in UTF-8 bytes. The facade shortens longer keys to a readable head and a SHA-256 tail. */
  readonly keyBytes: number
  /** Maximum size of a payload, in bytes. `Infinity` where payloads are not measured. */
  readonly valueBytes: number
  /**
   * Granularity of a ttl, in milliseconds. The store rounds every ttl **up** to a multiple of it. An item exists for the
   * rounded ttl, and for at most one further step, because the clock of a backend may tick once per step. On memcached,
   * where the step is one second, an item with a ttl of 1 ms exists for one to two seconds.
   */
  readonly ttlStep: number
  /**
   * How much `time()` may differ from the clock of the backend, in milliseconds, for example because it is read from a
   * header with whole seconds. The times that two processes read may differ by twice that. @default ttlStep
   */
  readonly timeError?: number
}

/** An item, and for how long it exists. */
export interface ItemWithTtl<Item = unknown> {
  readonly item: Item
  /**
   * The remaining ttl in milliseconds, at most the actual one plus `limits.ttlStep`. `Infinity` if the item never expires,
   * `undefined` if it is not known: a server of an older version does not return it, or the item was replaced while it
   * was read.
   */
  readonly ttl: number | undefined
}

/** The nodes of a backend that distributes keys over several. A new object whenever the nodes have changed. */
export interface KeyPlacement {
  /** How many nodes there are. */
  readonly nodeCount: number
  /** Identifies the node of a key. */
  nodeOf(key: string): unknown
}

export interface StoreContract<Kind extends 'bytes' | 'entry', Item> {
  /** Name of the driver, as in `CACHE_DRIVER`. Part of errors and events. */
  readonly name: string
  /** Type of an item: `'bytes'` for a {@link Payload}, `'entry'` for an {@link Entry} stored by reference. */
  readonly payload: Kind
  readonly limits: StoreLimits
  /** Whether the backend never loses an item before it expires, as a database does and a cache does not. @default false */
  readonly durable?: boolean
  /** Whether only this process reaches the items, so that loads need no lease. @default false */
  readonly processLocal?: boolean

  /**
   * Returns the item under `key`, or `undefined` for a miss. Never returns an expired item, even where the
   * backend deletes late. An empty payload is an item, not a miss. A value of a foreign type is a miss.
   */
  get(key: string, options?: ReadOptions): Awaitable<Item | undefined>

  /**
   * Returns the items under `keys`, in the same order and with the same length: repeated keys are repeated,
   * a miss is `undefined`. Accepts any number of keys and uses as few round trips as the backend allows.
   * If it fails for some of the keys only, it rejects with a `BatchError`, which has the outcome of each key.
   */
  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<(Item | undefined)[]>

  /**
   * The same as `getMany`, with the remaining ttl of each item, in as few round trips as possible. Absent where the
   * backend does not return it.
   */
  getWithTtl?(
    keys: readonly string[],
    options?: ReadOptions,
  ): Awaitable<(ItemWithTtl<Item> | undefined)[]>

  /**
   * Stores `item`, replacing any existing item and its expiry. If `item` exceeds `limits.valueBytes`, the
   * existing item is still deleted: a value that the caller meant to replace is never served.
   */
  set(key: string, item: Item, ttl?: number): Awaitable<void>

  /**
   * Does `set` for each entry, with one ttl for all, in as few round trips as possible. If a key is repeated, its last
   * item is stored. After a failure, any of the entries may have been stored. If it is known which, it
   * rejects with a `BatchError`, which has the outcome of each entry.
   */
  setMany(entries: readonly (readonly [key: string, item: Item])[], ttl?: number): Awaitable<void>

  /** Stores `item` only if `key` is missing or expired. Atomic. Returns whether it was stored. */
  add(key: string, item: Item, ttl?: number): Awaitable<boolean>

  /**
   * Replaces the item under `key` with `next` and sets its expiry to `ttl` (none by default), or deletes it if `next` is
   * `undefined`; only if the stored item equals `expected`: the same bytes for `'bytes'`, the same
   * reference for `'entry'`. Atomic. Returns whether the item was replaced or deleted.
   */
  compareAndSet(
    key: string,
    expected: Item,
    next: Item | undefined,
    ttl?: number,
  ): Awaitable<boolean>

  /**
   * Adds the signed integer `by` to the counter under `key` and returns the sum. Atomic. A missing
   * counter is created with the value `by` and the expiry `ttl`; later calls do not change the expiry.
   * A counter is stored as a decimal number, so `get` reads it. If the stored item is not an integer, or the sum is
   * outside ±(2^53 − 1), it fails with `ERR_CACHE_REJECTED` and the stored item is unchanged.
   */
  increment(key: string, by: number, ttl?: number): Awaitable<number>

  /** Sets the expiry of an existing item to `ttl` from now, or removes the expiry. Returns whether the item exists. */
  touch(key: string, ttl?: number): Awaitable<boolean>

  /** Deletes the item. Returns whether it existed and had not expired. */
  delete(key: string): Awaitable<boolean>

  /** Deletes the items and returns how many existed and had not expired. A repeated key counts once. */
  deleteMany(keys: readonly string[]): Awaitable<number>

  /** Deletes everything this store can reach, also foreign keys. The facade calls it for caches without a prefix only. */
  clear(): Awaitable<void>

  /** Resolves if the backend replies now, and rejects with the reason otherwise. */
  ping(): Awaitable<void>

  /**
   * Returns the time of the backend's clock, in epoch milliseconds, which processes with different clocks share. Absent
   * where there is no such clock.
   */
  time?(): Awaitable<number>

  /**
   * Waits for the calls in flight, then releases what the store itself has opened (an injected client stays open).
   * Idempotent. Every later call fails with `ERR_CACHE_CLOSED`.
   */
  close(): Promise<void>

  /** The same as `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>

  /**
   * Lists the keys that begin with `prefix`, taken literally, in pages. Each key that exists during the whole scan is
   * listed at least once. Absent where the backend cannot list its keys (memcached).
   */
  scan?(prefix: string): AsyncIterable<readonly string[]>

  /**
   * Returns a short printable string that represents all writes of this process so far. After `observe` with this token,
   * `'session'` reads of another process on the same backend include them. Absent where no read lags behind.
   */
  consistencyToken?(): Awaitable<string>

  /** Makes later `'session'` reads include the writes of the token. Ignores strings that are not its own tokens. */
  observe?(token: string): void

  /**
   * Where keys are, so that copies of an item can be stored on different nodes. Absent where the backend itself keeps copies,
   * or has one node.
   */
  readonly placement?: KeyPlacement | undefined

  /** What the store offers to tools such as `stowage doctor`. Absent where there is nothing to check beyond a ping. */
  readonly diagnostics?: StoreDiagnostics | undefined
}

/** A store of bytes: every networked backend, and memory by default. */
export type ByteStore = StoreContract<'bytes', Payload>

/** A store of entries by reference: nothing is copied or encoded. */
export type EntryStore = StoreContract<'entry', Entry>

export type CacheStore = ByteStore | EntryStore

/** The same without knowledge of the type of its items. */
export type AnyStore = StoreContract<'bytes' | 'entry', unknown>
