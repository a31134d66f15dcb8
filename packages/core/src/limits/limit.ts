import type { Keyspace } from '../keys.ts'
import type { HeldLock, RunOptions } from '../locks/lock.ts'
import type { AnyStore, Awaitable } from '../store.ts'
import type { BackendTime } from '../time/backend-time.ts'
import type { Clock } from '../time/clock.ts'
import type { Duration } from '../time/duration.ts'

export interface RateLimitOptions {
  /** How many units a key may consume per window. */
  readonly limit: number
  readonly window: Duration
  /**
   * - `'fixed'`: the units of each window are counted from its beginning, which differs from key to key. One request. Around
   *   the end of a window, up to twice the limit is allowed within the duration of one.
   * - `'sliding'`: the units of the window before count as well, less and less. Two requests in one round trip.
   * - `'bucket'`: units are restored evenly, one after the other. Up to `burst` can be consumed at once. A read and a
   *   conditional write for all calls of a turn of the event loop.
   * @default 'fixed'
   */
  readonly policy?: 'fixed' | 'sliding' | 'bucket' | undefined
  /** How many units a full bucket has. For the policy `'bucket'` only. @default limit */
  readonly burst?: number | undefined
  /**
   * What `consume` and `peek` do if the store fails: reject with its error, or resolve as if the call were allowed or denied
   * and publish the error on `stowage:error`. @default 'throw'
   */
  readonly onError?: 'throw' | 'allow' | 'deny' | undefined
}

export interface RateLimitResult {
  readonly allowed: boolean
  /** Maximum number of units that can be consumed at once. */
  readonly limit: number
  /** How many units are left now. */
  readonly remaining: number
  /** When all units are available again if none is consumed: epoch milliseconds, by the clock of this process. */
  readonly resetAt: number
  /** How long to wait before the same call is allowed, in milliseconds; 0 if it was. `Infinity` if it never is. */
  readonly retryAfterMs: number
}

/** Limits how often something happens, per key. All processes share the count. */
export interface RateLimiter {
  /**
   * Consumes `cost` units of the key if that many are left, otherwise none.
   *
   * @param cost a positive integer. 1 by default
   */
  consume(key: string, cost?: number): Promise<RateLimitResult>
  /** Returns how many units are left, and whether `consume` would allow one. Consumes nothing. */
  peek(key: string): Promise<RateLimitResult>
  /** Gives back units that were consumed in the current window, for example because a login succeeded. */
  undo(key: string, cost?: number): Promise<void>
  /** Gives back all units of the key. */
  reset(key: string): Promise<void>
}

export interface ConcurrencyOptions {
  /** How many calls may run at the same time, in all processes: from 1 to 1000. */
  readonly limit: number
  /** For how long the slot of a process that ended stays taken. It is renewed each third of that. @default '30s' */
  readonly ttl?: Duration | undefined
}

/** Limits how many calls run at the same time. */
export interface ConcurrencyLimit {
  /**
   * Runs `work` while it holds one of the slots.
   *
   * @throws CacheError `ERR_CACHE_LOCKED` (retryable) if no slot became free within `wait`
   */
  run<T>(work: (held: Pick<HeldLock, 'signal'>) => Awaitable<T>, options?: RunOptions): Promise<T>
}

/** What a policy decides. Times are relative, because only the policy knows the time of the backend. */
export interface Verdict {
  readonly allowed: boolean
  readonly remaining: number
  readonly resetMs: number
  readonly retryMs: number
}

/** How units are counted. Keys are the names of counters within the reserved keys. */
export interface LimitPolicy {
  /** How many units can be consumed at once. */
  readonly capacity: number
  consume(key: string, cost: number): Promise<Verdict>
  peek(key: string): Promise<Verdict>
  undo(key: string, cost: number): Promise<void>
  reset(key: string): Promise<void>
}

/** Where limits are counted. */
export interface LimitStore {
  readonly store: AnyStore
  readonly keys: Keyspace
  readonly time: BackendTime
  readonly clock: Clock
  /** How much longer than needed counters are kept, in milliseconds. */
  readonly slackMs: number
}

/**
 * For how long a request may be on its way to the backend, in milliseconds: longer than the deadlines of most stores. A
 * request that arrives after its counter has expired would start at zero again.
 */
export const maxInFlightMs = 10_000
