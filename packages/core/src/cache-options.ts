import type { AuditOptions } from './audit/audit-options.ts'
import type { InvalidationBus } from './bus.ts'
import type { RememberDefaults } from './loading/remember-options.ts'
import type { NearOptions } from './near/near-options.ts'
import type { Clock } from './time/clock.ts'
import type { Duration } from './time/duration.ts'
import type { Codec } from './values/codec.ts'

/** Every option, for the check of their names. */
export const optionNames = {
  name: true,
  prefix: true,
  ttl: true,
  generations: true,
  codec: true,
  clock: true,
  remember: true,
  waitUntil: true,
  bus: true,
  near: true,
  audit: true,
} as const

export interface CacheOptions {
  /** Name of the cache in events. @default the store's name */
  readonly name?: string | undefined
  /**
   * Prepended to every key. `clear()` and `keys()` affect only keys with this prefix. End it with a separator: a
   * prefix of `user` also matches the keys of `user2`.
   * @default ''
   */
  readonly prefix?: string | undefined
  /** Default time to live of entries; `null` means they never expire. @default null */
  readonly ttl?: Duration | null | undefined
  /**
   * Whether `clear()` works for a prefix on a backend that cannot list its keys (memcached, DynamoDB without `scan`).
   * Storage keys then contain the id of a generation, which `clear()` replaces. `false` leaves the id out, so that other
   * programs can read the same keys, and makes `clear()` reject with `ERR_CACHE_UNSUPPORTED`. @default true
   */
  readonly generations?: boolean | undefined
  /** Converts values to bytes and back. Not used with a store that keeps entries by reference. @default json() */
  readonly codec?: Codec | undefined
  /** Source of the current time. @default systemClock */
  readonly clock?: Clock | undefined
  /** Defaults for the options of `remember`. */
  readonly remember?: RememberDefaults | undefined
  /**
   * Receives each refresh in the background, for platforms that stop a process after the response: pass their
   * `waitUntil` function. It never rejects.
   */
  readonly waitUntil?: ((work: Promise<void>) => void) | undefined
  /**
   * Wakes calls that wait for a lock as soon as another process releases it. Without it, they find out by polling, after
   * 0.2 s at most. @default none
   */
  readonly bus?: InvalidationBus | undefined
  /**
   * Keeps entries in the memory of the process, in front of the store, for this cache and its namespaces. Reads with an
   * explicit `consistency` bypass it. @default none
   */
  readonly near?: NearOptions | undefined
  /**
   * Measures the consistency of this cache and its namespaces: compares a sample of the hits of `remember` and collections
   * with the source. See `cache.audit`. @default none
   */
  readonly audit?: AuditOptions | undefined
}

/** Options of a namespace that differ from those of its cache. */
export type NamespaceOptions = Pick<CacheOptions, 'ttl' | 'remember'>
