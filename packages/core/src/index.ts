/** The API for applications. Authors of drivers also import from `@stowage/core/driver`. */
export type { InvalidationBus, InvalidationListener } from './bus.ts'
export {
  Cache,
  type CacheOptions,
  type NamespaceOptions,
  type Snapshot,
  type WriteOptions,
} from './cache.ts'
export {
  type CacheDefinition,
  Caches,
  type CachesOptions,
  createCaches,
  type Health,
} from './caches.ts'
export { type CacheEvent, channels, type ErrorEvent, type LoadEvent } from './channels.ts'
export {
  type CachesFromEnvOptions,
  cachesFromEnv,
  type Role,
} from './configuration/caches-from-env.ts'
export type { Codecs } from './configuration/codec-from-env.ts'
export { type DriverLoader, DriverRegistry } from './configuration/driver-registry.ts'
export { Env, type Variables } from './configuration/env.ts'
export {
  CacheError,
  type CacheErrorCode,
  type CacheErrorOptions,
  ConfigError,
  type ConfigProblem,
} from './errors.ts'
export type { LoadContext, LoadManyContext } from './loading/load-context.ts'
export type { RememberDefaults, RememberOptions } from './loading/remember-options.ts'
export type { LoadMany } from './remember/remember-many.ts'
export type { WrapOptions, Wrapped } from './remember/wrap.ts'
export type {
  Awaitable,
  ByteStore,
  CacheStore,
  Consistency,
  EntryStore,
  Payload,
  ReadOptions,
  StoreContract,
  StoreLimits,
} from './store.ts'
export { type Clock, systemClock } from './time/clock.ts'
export { type Duration, milliseconds, type Ttl } from './time/duration.ts'
export type { Codec } from './values/codec.ts'
export { type AsIsOptions, asIs } from './values/codecs/as-is.ts'
export { type CompressedOptions, compressed } from './values/codecs/compressed.ts'
export { type EncryptedOptions, encrypted } from './values/codecs/encrypted.ts'
export { json } from './values/codecs/json.ts'
export { structured } from './values/codecs/structured.ts'
export type { Entry, EntryFacts } from './values/entry.ts'
export { BatchError } from './wrappers/batch-error.ts'
export { type BatchingOptions, withBatching } from './wrappers/with-batching.ts'
export { type KeyOrderOptions, withKeyOrder } from './wrappers/with-key-order.ts'
export { withTimeout } from './wrappers/with-timeout.ts'
export { type Interceptor, type StoreOperation, wrapStore } from './wrappers/wrap-store.ts'
