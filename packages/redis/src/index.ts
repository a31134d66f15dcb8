export type { BusConnectionOptions } from './invalidation/bus-connections.ts'
export { type RedisBusOptions, redisBus } from './invalidation/redis-bus.ts'
export { type RedisTrackingOptions, redisTracking } from './invalidation/redis-tracking.ts'
export { default, redis } from './redis-driver.ts'
export type {
  Credentials,
  CredentialsProvider,
  ReadFrom,
  RedisClient,
  RedisOptions,
} from './redis-options.ts'
