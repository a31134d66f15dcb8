import { type Caches, cachesFromEnv, type Role } from '@stowage/core'
import { Env, type Variables } from '@stowage/core/driver'
import { sessionSecret } from '@stowage/express'
import { Backends } from './backends.ts'

export interface Config {
  readonly host: string
  /** With 0 the operating system chooses a free port. */
  readonly port: number
  /** How long the simulated database takes to list the products, in milliseconds. */
  readonly productsDelay: number
  readonly sessionSecret: string
  /** No secret was configured. `sessionSecret` is random, so sessions end with the process. */
  readonly secretIsGenerated: boolean
  readonly caches: Caches<Role>
  readonly backends: Backends
}

const maxPort = 65_535

/** @throws ConfigError with all invalid variables of the app and of its caches */
export async function readConfig(variables: Variables): Promise<Config> {
  const env = new Env(variables)
  const settings = {
    host: env.text('HOST') ?? '127.0.0.1',
    port: env.integer('PORT', 0, maxPort) ?? 3000,
    productsDelay: env.integer('PRODUCTS_DELAY') ?? 800,
    sessionSecret: sessionSecret({ NODE_ENV: 'development', ...variables })[0] as string,
    secretIsGenerated: env.text('SESSION_SECRET') === undefined,
  }
  const backends = new Backends()
  const caches = await cachesFromEnv(variables, backends.registry, { problems: env.problems })
  return { ...settings, caches, backends }
}
