import { ConfigError } from '@stowage/core'
import { Env, type Variables } from '@stowage/core/driver'
import driver, { type RedisOptions } from '@stowage/redis'

export interface Config {
  readonly host: string
  /** With 0 the operating system chooses a free port. */
  readonly port: number
  readonly redis: RedisOptions
}

const maxPort = 65_535

/** Whether the environment contains the address of a primary. */
export function namesServers(variables: Variables): boolean {
  const env = new Env(variables)
  return (env.text('REDIS_PRIMARY') ?? env.text('REDIS_URL')) !== undefined
}

/** @throws ConfigError with all invalid variables */
export function readConfig(variables: Variables): Config {
  const env = new Env(variables)
  const config = {
    host: env.text('HOST') ?? '127.0.0.1',
    port: env.integer('PORT', 0, maxPort) ?? 3000,
    redis: driver.fromEnv(env),
  }
  if (env.problems.length > 0) throw new ConfigError(env.problems)
  return config
}
