/**
 * The contract between the facade and a backend. This file is the specification:
 * whoever implements every member as described has written a driver, and
 * `conform()` of `@stowage/testing` tells when it is done.
 *
 * What a store may rely on: the facade has finished the arguments. Keys are
 * non-empty, well-formed strings of at most `limits.keyBytes` UTF-8 bytes, with
 * prefix and namespace already in place. A ttl is a positive integer of
 * milliseconds, relative to now; `undefined` means "never expires".
 *
 * What every store promises:
 * - It does I/O only when called: the constructor opens nothing, the first command connects.
 * - Every call settles. A backend that may stay silent is given a deadline, by its client or by `withTimeout`.
 * - It fails with a `CacheError` only, thrown or rejected; see `errors.ts` for the codes.
 * - An item over `limits.valueBytes` is `ERR_CACHE_LIMIT` in every write, whatever the answer would have been.
 * - It has no policy: no default ttl, no prefix, no encoding, no fallback.
 *
 * @module
 */

import type { Entry } from './values/entry.ts'

/**
 * A value, or a promise of it. A store that has the answer at hand (memory, an embedded database)
 * returns it directly, which spares every hit a turn of the microtask queue. Callers `await` either; a promise is the
 * language's own, not a look-alike.
 */
export type Awaitable<T> = T | Promise<T>

/**
 * Bytes at the boundary of a store. A string stands for its UTF-8 bytes, in both directions: each
 * side hands over whichever form it already has. Bytes received are read-only for the receiver, and who hands
 * bytes to a call leaves them alone until it has settled.
 */
export type Payload = string | Uint8Array

/**
 * How recent a read must be, for a backend with copies that lag behind; any other is always recent.
 * `'eventual'`: as it comes. `'session'`: never older than what this process has written or was told of by a
 * consistency token. `'strong'`: never older than any write that was answered before.
 */
export type Consistency = (typeof consistencies)[number]
export const consistencies = ['eventual', 'session', 'strong'] as const

export interface ReadOptions {
  /** @default what the store was made with */
  readonly consistency?: Consistency | undefined
}

/** What the backend allows; the facade and the drivers' callers obey it. */
export interface StoreLimits {
  /** Longest key, in UTF-8 bytes. The facade shortens longer keys to a readable head and a SHA-256 tail. */
  readonly keyBytes: number
  /** Largest payload, in bytes. `Infinity` where nothing is measured. */
  readonly valueBytes: number
  /** Granularity of a ttl in milliseconds; the store rounds every ttl **up** to a multiple of it. */
  readonly ttlStep: number
}

export interface StoreContract<Kind extends 'bytes' | 'entry', Item> {
  /** Name of the driver, as in `CACHE_DRIVER`; appears in errors and events. */
  readonly name: string
  /** What an item is: `'bytes'` for a {@link Payload}, `'entry'` for an {@link Entry} kept by reference. */
  readonly payload: Kind
  readonly limits: StoreLimits

  /**
   * The item under `key`, or `undefined` for a miss. Never an expired one, even where the backend
   * deletes late. An empty payload is an item, not a miss. A value of a foreign type is a miss.
   */
  get(key: string, options?: ReadOptions): Awaitable<Item | undefined>

  /**
   * The items under `keys`, in the same order and of the same length: a repeated key is answered
   * repeatedly, a miss leaves `undefined`. As few round trips as the backend allows, any number of keys.
   */
  getMany(keys: readonly string[], options?: ReadOptions): Awaitable<(Item | undefined)[]>

  /**
   * Stores `item` whatever was there, with a new expiry (or none). When the item exceeds
   * `limits.valueBytes` the old one is deleted all the same: what was to be replaced is never served.
   */
  set(key: string, item: Item, ttl?: number): Awaitable<void>

  /**
   * `set` for each entry, one ttl for all, in as few round trips as possible. A key given twice: the last wins.
   * Where it fails, any of the entries may have been stored.
   */
  setMany(entries: readonly (readonly [key: string, item: Item])[], ttl?: number): Awaitable<void>

  /** Stores `item` only if nothing lives under `key`, atomically. Says whether it did. */
  add(key: string, item: Item, ttl?: number): Awaitable<boolean>

  /**
   * Replaces the item under `key` by `next` (with a new expiry, or none), or deletes it when `next` is
   * `undefined`, only if what is stored equals `expected`: the same bytes for `'bytes'`, the same
   * reference for `'entry'`. Atomic. Says whether it did.
   */
  compareAndSet(
    key: string,
    expected: Item,
    next: Item | undefined,
    ttl?: number,
  ): Awaitable<boolean>

  /**
   * Adds the signed integer `by` to the counter under `key` and returns the sum, atomically. A missing
   * counter is created at `by`; `ttl` applies then and only then, later calls leave the expiry alone.
   * A counter is stored as a decimal number, so `get` reads it. What is not an integer, or a sum outside
   * ±(2^53 − 1), is `ERR_CACHE_REJECTED`, and the stored value stays as it was.
   */
  increment(key: string, by: number, ttl?: number): Awaitable<number>

  /** Moves the expiry of a living item to `ttl` from now, or removes it. Never creates. Says whether the item lives. */
  touch(key: string, ttl?: number): Awaitable<boolean>

  /** Deletes the item. Says whether a living one was there. */
  delete(key: string): Awaitable<boolean>

  /** Deletes the items and returns how many living ones there were. A repeated key counts once. */
  deleteMany(keys: readonly string[]): Awaitable<number>

  /** Deletes everything this store can reach, foreign keys included. The facade calls it for a cache without prefix only. */
  clear(): Awaitable<void>

  /** Resolves when the backend answers now; rejects with the reason it does not. */
  ping(): Awaitable<void>

  /**
   * Waits for calls under way, then releases what the store itself has opened (an injected client stays open).
   * Idempotent. Every later call fails with `ERR_CACHE_CLOSED`.
   */
  close(): Promise<void>

  /**
   * Pages of the keys that begin with `prefix`, taken literally. Each key that lives during the whole scan is
   * listed at least once. Absent where the backend cannot list its keys (memcached).
   */
  scan?(prefix: string): AsyncIterable<readonly string[]>

  /**
   * A short printable text that stands for everything this process has written so far. Given to `observe` of the same
   * backend's store in another process, it makes its `'session'` reads include that. Absent where no read lags.
   */
  consistencyToken?(): Awaitable<string>

  /** From now on `'session'` reads include what the token stands for. What is no token of this backend is ignored. */
  observe?(token: string): void
}

/** A store of bytes: every networked backend, and memory by default. */
export type ByteStore = StoreContract<'bytes', Payload>

/** A store that keeps entries as they are, by reference; nothing is copied or encoded. */
export type EntryStore = StoreContract<'entry', Entry>

export type CacheStore = ByteStore | EntryStore
