import { ConfigError, Env, type Variables } from '@stowage/core'
import driver, { type RedisOptions } from '@stowage/redis'

export interface Config {
  readonly host: string
  /** 0 lets the system choose a free one. */
  readonly port: number
  readonly redis: RedisOptions
}

const highestPort = 65_535

/** Whether the environment says where Redis is. */
export function namesServers(variables: Variables): boolean {
  const env = new Env(variables)
  return (env.text('REDIS_PRIMARY') ?? env.text('REDIS_URL')) !== undefined
}

/** @throws ConfigError with everything that is wrong */
export function readConfig(variables: Variables): Config {
  const env = new Env(variables)
  const config = {
    host: env.text('HOST') ?? '127.0.0.1',
    port: env.integer('PORT', 0, highestPort) ?? 3000,
    redis: driver.fromEnv(env),
  }
  if (env.problems.length > 0) throw new ConfigError(env.problems)
  return config
}
