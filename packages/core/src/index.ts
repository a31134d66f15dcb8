export type { InvalidationBus, InvalidationListener } from './bus.ts'
export { Cache, type CacheOptions, type WriteOptions } from './cache.ts'
export {
  type CacheDefinition,
  Caches,
  type CachesOptions,
  createCaches,
  type Health,
} from './caches.ts'
export { type CachesFromEnvOptions, cachesFromEnv, type Role } from './caches-from-env.ts'
export { type CacheEvent, channels, type ErrorEvent, type LoadEvent } from './channels.ts'
export { type Clock, systemClock } from './clock.ts'
export { type Codec, json } from './codec.ts'
export type { Driver } from './driver.ts'
export {
  type Duration,
  deadlineMs,
  milliseconds,
  parseDuration,
  resolveTtl,
  type Ttl,
} from './duration.ts'
export type { Entry, EntryFacts } from './entry.ts'
export { Env, masked, type Variables } from './env.ts'
export {
  CacheError,
  type CacheErrorCode,
  type CacheErrorOptions,
  ConfigError,
  type ConfigProblem,
  oversized,
} from './errors.ts'
export { decodeFrame, encodeFrame, type Frame, isFrame } from './frame.ts'
export { Lifecycle } from './lifecycle.ts'
export { conflict, optimistically } from './optimistic.ts'
export { oneOf, wholeNumber } from './options.ts'
export { exceeds, payloadBytes, samePayload, toBytes, toText } from './payload.ts'
export { type DriverLoader, DriverRegistry } from './registry.ts'
export {
  type Awaitable,
  type ByteStore,
  type CacheStore,
  type Consistency,
  consistencies,
  type EntryStore,
  type Payload,
  type ReadOptions,
  type StoreContract,
  type StoreLimits,
} from './store.ts'
export { countdown, Watchdog } from './watchdog.ts'
export { type BatchingOptions, withBatching } from './wrappers/with-batching.ts'
export { withTimeout } from './wrappers/with-timeout.ts'
export { type Around, type StoreOperation, wrapStore } from './wrappers/wrap-store.ts'
