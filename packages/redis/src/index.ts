export { type RedisBusOptions, redisBus } from './bus.ts'
export type { ListeningOptions } from './listening.ts'
export { default, redis } from './redis-driver.ts'
export type {
  Credentials,
  CredentialsProvider,
  ReadFrom,
  RedisClient,
  RedisOptions,
} from './redis-options.ts'
export { type RedisTrackingOptions, redisTracking } from './tracking.ts'
