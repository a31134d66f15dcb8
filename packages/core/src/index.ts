/** The API for applications. Drivers also import from `@stowage/core/driver`, tools from `@stowage/core/tools`. */
export type { AuditOptions } from './audit/audit-options.ts'
export type { AuditCounts, AuditedGroup, AuditReport, AuditWindow } from './audit/audit-report.ts'
export type { InvalidationBus, InvalidationListener } from './bus.ts'
export { Cache } from './cache.ts'
export type { CacheOptions, NamespaceOptions } from './cache-options.ts'
export {
  type CacheDefinition,
  Caches,
  type CachesOptions,
  createCaches,
  type Health,
  type Status,
  type StatusOptions,
} from './caches.ts'
export type { Change, ChangedNames, ChangeOptions, ChangeWork } from './changing/change.ts'
export {
  type AuditEvent,
  type BreakerEvent,
  type CacheEvent,
  type CacheOperation,
  type CallEvent,
  channels,
  type ErrorEvent,
  type EvictionEvent,
  type FailoverEvent,
  type InvalidationEvent,
  type LeaseWaitEvent,
  type LimitEvent,
  type LoadCallEvent,
  type LoadEvent,
  type LockEvent,
  type NearEvent,
  type ReplicaEvent,
  type RequestEvent,
  type TopologyChange,
  type TopologyEvent,
  type TracedEvent,
  tracing,
} from './channels.ts'
export type { Collection } from './collections/collection.ts'
export type { CollectionDefinition } from './collections/collection-definition.ts'
export type {
  SchemaInput,
  SchemaIssue,
  SchemaOutput,
  SchemaResult,
  StandardSchema,
} from './collections/standard-schema.ts'
export { type DriverLoader, DriverRegistry } from './configuration/driver-registry.ts'
export {
  type CachesFromEnvOptions,
  cachesFromEnv,
  type Role,
  readEnv,
} from './configuration/environment/caches-from-env.ts'
export type { Codecs } from './configuration/environment/codec-from-env.ts'
export { nullStore } from './configuration/null-driver.ts'
export {
  CacheError,
  type CacheErrorCode,
  type CacheErrorOptions,
  ConfigError,
  type ConfigProblem,
  type ConfigProblemCode,
} from './errors.ts'
export type { BreakerOptions, FailoverOptions } from './failover/failover.ts'
export { type FailoverByteStore, failover } from './failover/failover.ts'
export type {
  ConcurrencyLimit,
  ConcurrencyOptions,
  RateLimiter,
  RateLimitOptions,
  RateLimitResult,
} from './limits/limit.ts'
export type { LoadContext, LoadManyContext } from './loading/load-context.ts'
export type { RememberDefaults, RememberOptions } from './loading/remember-options.ts'
export type { HeldLock, Lock, LockOptions, RunOptions, WaitOptions } from './locks/lock.ts'
export { type Memo, memo } from './memo.ts'
export type { NearStats } from './near/near-cache.ts'
export type { NearOptions, NearValues } from './near/near-options.ts'
export type { ByteSize } from './options/byte-size.ts'
export type { LoadMany } from './remember/remember-many.ts'
export type { WrapOptions, Wrapped } from './remember/wrap.ts'
export type {
  Awaitable,
  CacheStore,
  Consistency,
  Payload,
  ReadOptions,
  StoreLimits,
} from './store.ts'
export { type Clock, systemClock } from './time/clock.ts'
export { type Duration, milliseconds, type Ttl } from './time/duration.ts'
export type { Snapshot } from './updates/entry-snapshot.ts'
export type { TtlOptions, WriteOptions } from './updates/tagged-writes.ts'
export type { Codec } from './values/codec.ts'
export { type AsIsOptions, asIs } from './values/codecs/as-is.ts'
export { type CompressedOptions, compressed } from './values/codecs/compressed.ts'
export { type EncryptedOptions, encrypted } from './values/codecs/encrypted.ts'
export { json } from './values/codecs/json.ts'
export { structured } from './values/codecs/structured.ts'
export { type BatchingOptions, withBatching } from './wrappers/batching/with-batching.ts'
export { withTimeout } from './wrappers/with-timeout.ts'
