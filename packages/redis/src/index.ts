export { default, redis } from './redis-driver.ts'
export type { RedisClient, RedisOptions } from './redis-options.ts'
