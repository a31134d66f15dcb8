export { default, redis } from './redis-driver.ts'
export type { Consistency, ReadFrom, RedisClient, RedisOptions } from './redis-options.ts'
