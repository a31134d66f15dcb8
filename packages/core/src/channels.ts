import {
  type Channel,
  channel,
  type TracingChannel,
  tracingChannel,
} from 'node:diagnostics_channel'
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
   * The failure of the store or of a loader. If a driver works around a problem of its client library, `cache` and `key`
   * are empty.
   */
  readonly error: unknown
  /** The method of the cache that rejected with the failure. */
  readonly operation?: CacheOperation
  /** Whether a call rejected with the failure. Otherwise it went on without the store, or returned a stale value. */
  readonly isRejected?: boolean
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

/** An entry that had not expired was evicted from the memory of this process, to make room for another one. */
export interface EvictionEvent {
  /** Name of the driver, or `'near'` for a near cache. */
  readonly store: string
  /** The storage key. */
  readonly key: string
}

/** Values were made invalid for all processes. */
export interface InvalidationEvent {
  readonly cache: string
  /** Name of the driver. */
  readonly store: string
  readonly reason: 'tags' | 'clear'
  /** How many tags. */
  readonly tags: number
}

/** A call of `remember` has waited for the load of another process. */
export interface LeaseWaitEvent extends CacheEvent {
  readonly durationMs: number
  /** `changed`: the value was stored, or the lease ended. `abandoned`: the process with the lease has stopped. */
  readonly outcome: 'changed' | 'failed' | 'passed' | 'timeout' | 'abandoned'
}

/**
 * `connected`, `reconnected`, `lost`: a connection. `down`: the server is not used until it replies again, which is `up`.
 * `added`, `removed`: a server of the backend. `promoted`: the primary is another server than before.
 */
export type TopologyChange =
  | 'connected'
  | 'reconnected'
  | 'lost'
  | 'down'
  | 'up'
  | 'added'
  | 'removed'
  | 'promoted'

/** The servers of a backend, or the connections to them, have changed. */
export interface TopologyEvent {
  /** Name of the driver. */
  readonly store: string
  readonly change: TopologyChange
  /** `host:port`, if it is known. */
  readonly server: string
  readonly error?: unknown
}

/** The state of a replica, once per second as long as reads may use it. */
export interface ReplicaEvent {
  /** Name of the driver. */
  readonly store: string
  /** `host:port`, if it is known. */
  readonly server: string
  /** Whether it replies, and is connected to its primary. */
  readonly isLinked: boolean
  /**
   * How many bytes of the replication stream it has not applied, including what was written between the two requests that
   * measure it. `undefined` if it is not linked, or the user may not read it.
   */
  readonly lagBytes: number | undefined
}

/** A near cache has dropped all entries, because it may have missed invalidations. */
export interface NearEvent {
  readonly cache: string
  /** Name of the driver. */
  readonly store: string
  /** How many entries it has dropped. */
  readonly entries: number
}

/** A hit was compared with the source, and has differed from it for some time: an invalidation is missing or late. */
export interface AuditEvent extends CacheEvent {
  /** The group of the key in the report of the audit. */
  readonly group: string
  /** For how long the source is known to have another value, in milliseconds. */
  readonly differsForMs: number
  /** The tags of the entry, with the versions that they had when it was loaded. They are those of today: it is valid. */
  readonly tags: Readonly<Record<string, string>>
  /** The remaining ttl of the entry in the backend, in milliseconds. `undefined` if it is not known, or never ends. */
  readonly ttlMs: number | undefined
}

/** A method of a cache. `has` is a `get`, `decrement` an `increment`. */
export type CacheOperation =
  | 'get'
  | 'getMany'
  | 'set'
  | 'setMany'
  | 'add'
  | 'replace'
  | 'update'
  | 'pull'
  | 'snapshot'
  | 'remember'
  | 'rememberMany'
  | 'expire'
  | 'invalidateTags'
  | 'increment'
  | 'touch'
  | 'delete'
  | 'deleteMany'
  | 'clear'
  /** Only its failures are published, because the caller determines how long it takes. */
  | 'keys'
  /** A call of what this method has returned. Only its failures are published. */
  | 'lock'
  | 'rateLimit'
  | 'concurrency'
  | 'ping'

/** What the events of {@link tracing} have in common. One object is published on all channels of an operation. */
export interface TracedEvent {
  /** In milliseconds; 0 before the operation has settled. */
  durationMs: number
  /** Why the operation has failed. */
  error?: unknown
  /** A subscriber of `start` may set it to run the operation in a context of its own, such as that of a span. */
  run?: (<T>(operation: () => T) => T) | undefined
}

/** A call of a cache. */
export interface CallEvent extends TracedEvent {
  /** Name of the cache. */
  readonly cache: string
  /** Name of the driver. */
  readonly store: string
  readonly operation: CacheOperation
  /** As the application has passed them. They may be session ids: hash them before you log them. */
  readonly keys: readonly string[]
  /**
   * Set when the call has settled. `miss`: a key was missing, or loaded by this call. `shared`: it was loaded by another
   * call or process. `done`: the call reads no value. `aborted`: by the signal of the caller.
   */
  readonly outcome: 'hit' | 'miss' | 'stale' | 'shared' | 'done' | 'aborted' | 'error' | undefined
  /** The number of keys with a fresh value in the cache. */
  readonly hits: number
  /** The number of keys without a value in the cache, or whose value this call has loaded. */
  readonly misses: number
  /** The number of keys whose stale value was returned. */
  readonly stale: number
  /** The number of keys whose value was loaded by another call or process. */
  readonly shared: number
  /** The size of the items, if the call has read or written them as bytes. */
  readonly bytes: number | undefined
  /** A subscriber of `start` may set it to `false`: then requests do not name the call, which saves time. */
  isSampled?: boolean
}

/** A request to a server: what reaches it after batching, and each retry. */
export interface RequestEvent extends TracedEvent {
  /** Name of the driver. */
  readonly store: string
  /** A method of the contract of stores. */
  readonly operation: string
  /** The command in the protocol of the backend, if it has a name of its own. */
  readonly command?: string | undefined
  readonly keyCount: number
  /** 1, or more for a retry. */
  readonly attempt: number
  /** `host:port`, or the name of a table; `undefined` if it is not known. */
  readonly server: string | undefined
  /** Whether an instrumentation of the client library traces the request as well. */
  readonly isInstrumented: boolean
  /**
   * The calls that wait for it and are sampled; empty unless `start` of this channel and `cache` have subscribers. It is
   * sent in the asynchronous context of the first one.
   */
  readonly callers: readonly CallEvent[]
}

/** A call of a loader. */
export interface LoadCallEvent extends TracedEvent {
  /** Name of the cache. */
  readonly cache: string
  /** Name of the driver. */
  readonly store: string
  /** As the application has passed them: several for `rememberMany`. */
  readonly keys: readonly string[]
  /** Whether it refreshes a stale value that its caller has received already. */
  readonly background: boolean
}

/**
 * Operations with a beginning and an end, as a `TracingChannel` of Node each: `tracing:stowage:cache:start`, and so on.
 * `asyncEnd` is always the last event. Without subscribers an operation costs one check.
 *
 * @example
 * tracing.cache.asyncEnd.subscribe((event) => {
 *   const { cache, operation, outcome, durationMs } = event as CallEvent
 *   console.log(cache, operation, outcome, durationMs)
 * })
 */
export const tracing: {
  readonly cache: TracingChannel<CallEvent, CallEvent>
  readonly store: TracingChannel<RequestEvent, RequestEvent>
  readonly load: TracingChannel<LoadCallEvent, LoadCallEvent>
} = {
  /** A call of a cache. @see CallEvent */
  cache: tracingChannel('stowage:cache'),
  /** A request of a driver to a server. @see RequestEvent */
  store: tracingChannel('stowage:store'),
  /** A call of a loader. @see LoadCallEvent */
  load: tracingChannel('stowage:load'),
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
    | 'failover'
    | 'stale'
    | 'eviction'
    | 'invalidation'
    | 'wait'
    | 'topology'
    | 'replica'
    | 'near'
    | 'audit',
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
  /** A call has failed, or went on although the store or a loader has failed. @see ErrorEvent */
  error: channel('stowage:error'),
  /** A lock was acquired, refused, released or lost; likewise a slot of a concurrency limit. @see LockEvent */
  lock: channel('stowage:lock'),
  /** A rate limiter has allowed or denied a call. @see LimitEvent */
  limit: channel('stowage:limit'),
  /** The breaker of a store opened, tries the store, or closed. @see BreakerEvent */
  breaker: channel('stowage:breaker'),
  /** A store was replaced by its fallback store, or is used again. @see FailoverEvent */
  failover: channel('stowage:failover'),
  /** `remember` has returned a stale value. @see CacheEvent */
  stale: channel('stowage:stale'),
  /** An entry was evicted from the memory of this process. @see EvictionEvent */
  eviction: channel('stowage:eviction'),
  /** Tags were invalidated, or a cache was cleared. @see InvalidationEvent */
  invalidation: channel('stowage:invalidation'),
  /** A call has waited for the load of another process. @see LeaseWaitEvent */
  wait: channel('stowage:wait'),
  /** A server was added, removed or promoted; a connection was lost or established. @see TopologyEvent */
  topology: channel('stowage:topology'),
  /** How far a replica is behind. @see ReplicaEvent */
  replica: channel('stowage:replica'),
  /** A near cache has dropped all entries. @see NearEvent */
  near: channel('stowage:near'),
  /** A hit has differed from the source for 1 s, 1 min or 10 min. @see AuditEvent */
  audit: channel('stowage:audit'),
}

/**
 * Publishes a failure that no call rejects with on `stowage:error`. Without subscribers nobody would see it, so
 * an outage of the store is also a warning of the process.
 */
export function publishError(event: CacheEvent, error: unknown): void {
  if (channels.error.hasSubscribers) channels.error.publish({ ...event, isRejected: false, error })
  else if (CacheError.is(error) && outageCodes.includes(error.code))
    warnOfOutage(event.store, error)
}

/** Publishes the failure of a call that rejects with it, and throws it. */
export function reject(event: CacheEvent, operation: CacheOperation, error: unknown): never {
  const isFailure = CacheError.is(error) && error.code !== 'ERR_CACHE_LOCKED'
  if (isFailure && channels.error.hasSubscribers)
    channels.error.publish({ ...event, operation, isRejected: true, error } satisfies ErrorEvent)
  throw error
}

/** Also what the server refuses, such as a wrong password or a missing table: `remember` would load for ever. */
const outageCodes: readonly string[] = [
  'ERR_CACHE_UNAVAILABLE',
  'ERR_CACHE_TIMEOUT',
  'ERR_CACHE_REJECTED',
  'ERR_CACHE_CONFIG',
]
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
      'configuration: npx @stowage/cli doctor. Each failure is an event of the channel stowage:error.',
    { type: 'StowageWarning', code: 'STOWAGE_STORE_OUTAGE' },
  )
}

/** Publishes a change of the servers of a backend. For drivers. */
export function publishTopology(event: TopologyEvent): void {
  if (channels.topology.hasSubscribers) channels.topology.publish(event)
}
