import { type Caches, cachesFromEnv, type Role } from '@stowage/core'
import { Env, type Variables } from '@stowage/core/driver'
import { standardDrivers } from '@stowage/drivers'

export interface Config {
  readonly host: string
  /** With 0 the operating system chooses a free port. */
  readonly port: number
  /** How long it takes to generate a report, in milliseconds. */
  readonly reportMs: number
  readonly caches: Caches<Role>
}

const maxPort = 65_535

/** @throws ConfigError with all invalid variables of the app and of its cache */
export async function readConfig(variables: Variables): Promise<Config> {
  const env = new Env(variables)
  const settings = {
    host: env.text('HOST') ?? '127.0.0.1',
    port: env.integer('PORT', 0, maxPort) ?? 3000,
    reportMs: env.integer('REPORT_MS') ?? 10_000,
  }
  // Locks and limits outlive clear() only in a cache with a prefix.
  const defaults = { CACHE_DRIVER: 'memory', CACHE_PREFIX: 'locks-example:' }
  const options = { problems: env.problems }
  const caches = await cachesFromEnv({ ...defaults, ...variables }, standardDrivers(), options)
  return { ...settings, caches }
}
