/** The API for applications. Authors of drivers also import from `@stowage/core/driver`. */
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
export {
  type BreakerEvent,
  type CacheEvent,
  channels,
  type ErrorEvent,
  type FailoverEvent,
  type LimitEvent,
  type LoadEvent,
  type LockEvent,
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
export { Env, type Variables } from './configuration/env.ts'
export {
  type CachesFromEnvOptions,
  cachesFromEnv,
  type EnvReport,
  type Role,
  type RoleReport,
  readEnv,
} from './configuration/environment/caches-from-env.ts'
export type { Codecs } from './configuration/environment/codec-from-env.ts'
export type { UnreadVariable } from './configuration/environment/unread-variables.ts'
export { nullStore } from './configuration/null-driver.ts'
export type {
  BackendReport,
  CheckOptions,
  Finding,
  ServerReport,
  StoreDiagnostics,
} from './diagnostics.ts'
export type { Entry, EntryFacts } from './entry.ts'
export {
  CacheError,
  type CacheErrorCode,
  type CacheErrorOptions,
  ConfigError,
  type ConfigProblem,
  type ConfigProblemCode,
} from './errors.ts'
export { type FailoverByteStore, failover } from './failover/failover.ts'
export type { BreakerOptions, FailoverOptions } from './failover/failover-options.ts'
export type { InspectedState, Inspection, PayloadFrame } from './inspection/inspection.ts'
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
export { type Memo, memo } from './memo/memo.ts'
export type { NearStats } from './near/near-cache.ts'
export type { NearOptions, NearValues } from './near/near-options.ts'
export type { ByteSize } from './options/byte-size.ts'
export type { LoadMany } from './remember/remember-many.ts'
export type { WrapOptions, Wrapped } from './remember/wrap.ts'
export type {
  Awaitable,
  ByteStore,
  CacheStore,
  Consistency,
  EntryStore,
  ItemWithTtl,
  KeyPlacement,
  Payload,
  ReadOptions,
  StoreContract,
  StoreLimits,
} from './store.ts'
export { type Clock, systemClock } from './time/clock.ts'
export { type Duration, milliseconds, type Ttl } from './time/duration.ts'
export type { Snapshot } from './updates/entry-snapshot.ts'
export type { TtlOptions, WriteOptions } from './updates/write-options.ts'
export type { Codec } from './values/codec.ts'
export { type AsIsOptions, asIs } from './values/codecs/as-is.ts'
export { type CompressedOptions, compressed } from './values/codecs/compressed.ts'
export { type EncryptedOptions, encrypted } from './values/codecs/encrypted.ts'
export { json } from './values/codecs/json.ts'
export { structured } from './values/codecs/structured.ts'
export { JsonText } from './values/json-text.ts'
export { BatchError } from './wrappers/batch-error.ts'
export { type BatchingOptions, withBatching } from './wrappers/batching/with-batching.ts'
export { type KeyOrderOptions, withKeyOrder } from './wrappers/with-key-order.ts'
export { withTimeout } from './wrappers/with-timeout.ts'
export { type Interceptor, type StoreOperation, wrapStore } from './wrappers/wrap-store.ts'
