export type { InvalidationBus, InvalidationListener } from './bus.ts'
export { Cache, type CacheOptions, type WriteOptions } from './cache.ts'
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
export { oneOf, wholeNumber } from './configuration/check-options.ts'
export type { Driver } from './configuration/driver.ts'
export { type DriverLoader, DriverRegistry } from './configuration/driver-registry.ts'
export { Env, masked, type Variables } from './configuration/env.ts'
export {
  CacheError,
  type CacheErrorCode,
  type CacheErrorOptions,
  ConfigError,
  type ConfigProblem,
  oversized,
} from './errors.ts'
export { conflict, optimistically } from './loading/retry-on-conflict.ts'
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
export { type Clock, systemClock } from './time/clock.ts'
export {
  type Duration,
  deadlineMs,
  milliseconds,
  parseDuration,
  resolveTtl,
  type Ttl,
} from './time/duration.ts'
export { Lifecycle } from './time/lifecycle.ts'
export { countdown, Watchdog } from './time/watchdog.ts'
export { type Codec, json } from './values/codec.ts'
export type { Entry, EntryFacts } from './values/entry.ts'
export { decodeFrame, encodeFrame, type Frame, isFrame } from './values/frame.ts'
export { exceeds, payloadBytes, samePayload, toBytes, toText } from './values/payload.ts'
export { type BatchingOptions, withBatching } from './wrappers/with-batching.ts'
export { withTimeout } from './wrappers/with-timeout.ts'
export { type Around, type StoreOperation, wrapStore } from './wrappers/wrap-store.ts'
