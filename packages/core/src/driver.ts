/** `@stowage/core/driver`: the API for authors of drivers, codecs and libraries, in addition to `@stowage/core`. */

export { BusListeners, PublishBatches } from './bus-parts.ts'
export {
  type CacheBackend,
  cacheOver,
  canListKeys,
  expectMissing,
  getShared,
  viewAsIs,
} from './cache-access.ts'
export {
  answerWithin,
  DeadlineError,
  type DeadlineOptions,
  withDeadline,
} from './calls/deadline.ts'
export { Deferred } from './calls/deferred.ts'
export { InFlight } from './calls/in-flight.ts'
export { Lifecycle } from './calls/lifecycle.ts'
export { countdown, Watchdog } from './calls/watchdog.ts'
export { publishError, publishTopology } from './channels.ts'
export type { Driver } from './configuration/driver.ts'
export { Env, maskSecrets, type Variables } from './configuration/env.ts'
export { type CookiePair, cookiePairs } from './cookie-pairs.ts'
export { clockSkewFinding, failureFinding, pingReport } from './diagnostics.ts'
export { isUnreachable, notACounter, valueTooLarge } from './driver-errors.ts'
export type { Entry, EntryFacts } from './entry.ts'
export { BoundedMap, type BoundedMapOptions } from './eviction/bounded-map.ts'
export { RecentMap, remembering } from './eviction/recent-map.ts'
export { Journal, type JournalEntry } from './failover/recovery/journal.ts'
export { checkBytes } from './options/byte-size.ts'
export {
  checkChoice,
  checkInteger,
  checkOptionNames,
  checkTimeout,
} from './options/check-options.ts'
export { allowShortTtls, warnOfShortTtl } from './options/short-ttl.ts'
export { formatToken, type ReplicationPosition } from './replication/consistency-token.ts'
export { type ReadFrom, readFroms } from './replication/read-from.ts'
export { newReplica, type Replica, ReplicaGroup } from './replication/replica-group.ts'
export {
  type ReplicaOptions,
  type ResolvedReplicaOptions,
  replicaOptionNames,
  resolveReplicaOptions,
} from './replication/replica-options.ts'
export {
  lagFact,
  lagFindings,
  measureLag,
  type ReplicationLag,
} from './replication/replication-lag.ts'
export type {
  ReplicatedServer,
  ReplicationInfo,
  ReplicationState,
} from './replication/replication-state.ts'
export { ReplicationTracker } from './replication/replication-tracker.ts'
export {
  type ByteStore,
  consistencies,
  type EntryStore,
  type ItemWithTtl,
  type KeyPlacement,
  type StoreContract,
  strongRead,
} from './store.ts'
export { ExpiryClock } from './time/expiry-clock.ts'
export { type CallerContext, carryCallers } from './tracing/callers.ts'
export { areRequestsTraced, traceRequest } from './tracing/traced-request.ts'
export { type ConflictLocation, conflict, retryOnConflict } from './updates/retry-on-conflict.ts'
export { type UnencodableOptions, unencodable } from './values/codecs/unencodable.ts'
export { decodeFrame, encodeFrame, type Frame } from './values/frame.ts'
export { longestIntegerText, parseSafeInteger } from './values/integer.ts'
export { JsonText } from './values/json-text.ts'
export { exceeds, payloadBytes, samePayload, toBytes, toText } from './values/payload.ts'
export { BatchError } from './wrappers/batch-error.ts'
export { KeyOrder } from './wrappers/key-order.ts'
export { type KeyOrderOptions, withKeyOrder } from './wrappers/with-key-order.ts'
export { type Interceptor, type StoreOperation, wrapStore } from './wrappers/wrap-store.ts'
