import { randomBytes } from 'node:crypto'
import {
  type Caches,
  cachesFromEnv,
  DriverRegistry,
  Env,
  type Role,
  type Variables,
} from '@stowage/core'
import { MemcachedNodes } from './nodes.ts'

export interface Config {
  readonly host: string
  /** 0 lets the system choose a free one. */
  readonly port: number
  /** How long the pretended database takes to list the products, in milliseconds. */
  readonly productsDelay: number
  readonly sessionSecret: string
  /** Nobody gave a secret: this one is random, and so every session ends with the process. */
  readonly secretIsGenerated: boolean
  readonly caches: Caches<Role>
  readonly nodes: MemcachedNodes
}

const highestPort = 65_535

/** The whole choice of backends: a driver that is not named in the environment is never imported. */
function driversWith(nodes: MemcachedNodes): DriverRegistry {
  return new DriverRegistry({
    memory: () => import('@stowage/memory'),
    redis: () => import('@stowage/redis'),
    memcached: nodes.load,
    dynamodb: () => import('@stowage/dynamodb'),
  })
}

/** @throws ConfigError with everything that is wrong, of the app and of its caches */
export async function readConfig(variables: Variables): Promise<Config> {
  const env = new Env(variables)
  const secret = env.text('SESSION_SECRET')
  const settings = {
    host: env.text('HOST') ?? '127.0.0.1',
    port: env.integer('PORT', 0, highestPort) ?? 3000,
    productsDelay: env.integer('PRODUCTS_DELAY') ?? 800,
    sessionSecret: secret ?? randomBytes(32).toString('base64url'),
    secretIsGenerated: secret === undefined,
  }
  const nodes = new MemcachedNodes()
  const caches = await cachesFromEnv(variables, driversWith(nodes), { problems: env.problems })
  return { ...settings, caches, nodes }
}
