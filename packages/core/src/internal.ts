/**
 * `@stowage/core/internal`: what the packages of this repository share. Not for others: any minor release may change it,
 * and each package depends on the minor version of core with which it was released.
 */

// Parts of a cache

export {
  backendTime,
  type CacheBackend,
  cacheOver,
  canListKeys,
  deleteWithPrefix,
  expectMissing,
  getShared,
  viewAsIs,
} from './cache-access.ts'
export { strongRead } from './store.ts'
export { JsonText } from './values/codec.ts'

// Events and traces

export { publishError, publishTopology } from './channels.ts'
export { areRequestsTraced, traceRequest } from './tracing/requests.ts'

// Replicas and invalidation buses of Redis and PostgreSQL

export { BusListeners, PublishBatches } from './bus-parts.ts'
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

// Findings of `stowage doctor`, and warnings

export { maskSecrets } from './configuration/env.ts'
export { clockSkewFinding, failureFinding, pingReport } from './diagnostics.ts'
export { allowShortTtls, warnOfShortTtl } from './options/check-options.ts'

// Data structures and helpers

export { Deferred } from './calls/deferred.ts'
export { type CookiePair, cookiePairs } from './cookie-pairs.ts'
export { BoundedMap, type BoundedMapOptions } from './eviction/bounded-map.ts'
export { RecentMap, remembering } from './eviction/recent-map.ts'
export { Journal, type JournalEntry } from './failover/recovery/journal.ts'
export { limitKeyOf } from './limits/limit-key.ts'
export { monotonicOf } from './time/clock.ts'
export { ExpiryClock } from './time/expiry-clock.ts'
export { after } from './time/wait.ts'
export { isSameItem } from './values/payload.ts'
export { longestIntegerText } from './values/plain-items.ts'
export { KeyOrder } from './wrappers/key-order.ts'
