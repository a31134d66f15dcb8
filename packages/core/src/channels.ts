import { type Channel, channel } from 'node:diagnostics_channel'
import { CacheError } from './errors.ts'

/**
 * An event of a cache, published on `node:diagnostics_channel`. A channel without subscribers costs one check. An
 * event is published in the asynchronous context of the call that caused it, so an `AsyncLocalStorage` can relate it
 * to a request.
 */
export interface CacheEvent {
  /** Name of the cache: its `name` option, or its name in `createCaches`. */
  readonly cache: string
  /** Name of the driver. */
  readonly store: string
  /** The storage key. It may be a session id: hash it before you log it. */
  readonly key: string
}

export interface LoadEvent extends CacheEvent {
  /** Duration of the load, in milliseconds. */
  readonly durationMs: number
}

export interface ErrorEvent extends CacheEvent {
  /**
   * The failure of the store or, where the caller received a stale value instead, of the loader. If a driver works around
   * a problem of its client library, `cache` and `key` are empty.
   */
  readonly error: unknown
}

export interface LockEvent extends CacheEvent {
  /**
   * `refused`: the lock was not acquired. `lost`: its holder could not renew it in time, or another process has deleted or
   * replaced it.
   */
  readonly outcome: 'acquired' | 'refused' | 'released' | 'lost'
  /** How long the call waited, or for how long the lock was held, in milliseconds. */
  readonly durationMs: number
}

/** `key` is the name of the limiter and its key, separated by a colon. */
export interface LimitEvent extends CacheEvent {
  readonly allowed: boolean
  /** How many units are left. */
  readonly remaining: number
  /** The failure of the store, if `onError` has decided. */
  readonly error?: unknown
}

/** The breaker of a store of `failover` has changed its state. */
export interface BreakerEvent {
  /** Name of the driver of the store. */
  readonly store: string
  /** `'open'`: the store is not used. `'half-open'`: it is pinged. `'closed'`: it replies again. */
  readonly state: 'open' | 'half-open' | 'closed'
  /** The failure that opened the breaker, or of the last ping. */
  readonly error?: unknown
}

/** A store of `failover` is replaced by its fallback store, or used again. */
export interface FailoverEvent {
  /** Name of the driver of the store. */
  readonly store: string
  /** Name of the driver of the fallback store. */
  readonly fallback: string
  /**
   * `'partial'`: calls that fail are repeated on the fallback store. `'suspected'`: most calls have just failed, so that reads
   * go there. `'fallback'`: all calls go there. `'settling'`: the store replies again and is written, reads still go to the
   * next one. `'primary'`: the outage is over.
   */
  readonly phase: 'primary' | 'partial' | 'suspected' | 'fallback' | 'settling'
  /** How many changed keys are not yet deleted from the store. */
  readonly journal: number
  /** Whether more keys were changed than the journal holds, so that caches clear their prefixes. */
  readonly hasOverflown: boolean
}

/**
 * The channels of all caches in this process. Their names begin with `stowage:`.
 *
 * @example
 * channels.miss.subscribe((event) => {
 *   const { cache, store } = event as CacheEvent
 *   console.log(`miss in ${cache} (${store})`)
 * })
 */
export const channels: Readonly<
  Record<
    | 'hit'
    | 'miss'
    | 'shared'
    | 'corrupt'
    | 'load'
    | 'error'
    | 'lock'
    | 'limit'
    | 'breaker'
    | 'failover',
    Channel
  >
> = {
  /** A read found a value. @see CacheEvent */
  hit: channel('stowage:hit'),
  /** A read found no value. @see CacheEvent */
  miss: channel('stowage:miss'),
  /** A call of `remember` received the value of a load that another call or process started. @see CacheEvent */
  shared: channel('stowage:shared'),
  /** A read found a payload that the codec cannot decode. It counts as a miss. @see CacheEvent */
  corrupt: channel('stowage:corrupt'),
  /** A load of `remember` ended. @see LoadEvent */
  load: channel('stowage:load'),
  /** The store or a loader failed, and `remember` still returned a value. @see ErrorEvent */
  error: channel('stowage:error'),
  /** A lock was acquired, refused, released or lost; likewise a slot of a concurrency limit. @see LockEvent */
  lock: channel('stowage:lock'),
  /** A rate limiter has allowed or denied a call. @see LimitEvent */
  limit: channel('stowage:limit'),
  /** The breaker of a store opened, tries the store, or closed. @see BreakerEvent */
  breaker: channel('stowage:breaker'),
  /** A store was replaced by its fallback store, or is used again. @see FailoverEvent */
  failover: channel('stowage:failover'),
}

/**
 * Publishes a failure that no call rejects with on `stowage:error`. Without subscribers nobody would see it, so
 * an outage of the store is also a warning of the process.
 */
export function publishError(event: CacheEvent, error: unknown): void {
  if (channels.error.hasSubscribers) channels.error.publish({ ...event, error })
  else if (CacheError.is(error) && outageCodes.includes(error.code))
    warnOfOutage(event.store, error)
}

const outageCodes: readonly string[] = ['ERR_CACHE_UNAVAILABLE', 'ERR_CACHE_TIMEOUT']
/** A failure this long after the last one belongs to another outage. */
const outageGapMs = 60_000
const lastFailures = new Map<string, number>()

function warnOfOutage(store: string, { message, code }: CacheError): void {
  const now = performance.now()
  const sinceLast = now - (lastFailures.get(store) ?? -Infinity)
  lastFailures.set(store, now)
  if (sinceLast < outageGapMs) return
  process.emitWarning(
    `${message.replace(/\.$/, '')} (${code}). Calls that can go on without the store do so. Start the store, or correct its ` +
      'address: npx @stowage/cli doctor. Each failure is an event of the channel stowage:error.',
    { type: 'StowageWarning', code: 'STOWAGE_STORE_OUTAGE' },
  )
}
