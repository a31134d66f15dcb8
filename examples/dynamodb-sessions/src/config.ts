import { type Caches, cachesFromEnv, DriverRegistry, type Role } from '@stowage/core'

/** What the variables say, for the app and for the tools around it. */
export interface Settings {
  readonly port: number
  readonly secret: string
  readonly cacheTable: string
  readonly sessionTable: string
  readonly region: string | undefined
  readonly endpoint: string | undefined
}

export const settings: Settings = {
  port: Number(process.env.PORT ?? 3000),
  secret: process.env.SESSION_SECRET ?? 'for development only',
  cacheTable: process.env.CACHE_TABLE ?? 'cache',
  sessionTable: process.env.SESSION_TABLE ?? 'sessions',
  region: process.env.AWS_REGION || undefined,
  // An empty variable is an absent one.
  endpoint: process.env.DYNAMODB_ENDPOINT || undefined,
}

export function createCaches(): Promise<Caches<Role>> {
  const registry = new DriverRegistry({ dynamodb: () => import('@stowage/dynamodb') })
  return cachesFromEnv(
    {
      CACHE_DRIVER: 'dynamodb',
      CACHE_TABLE: settings.cacheTable,
      SESSION_TABLE: settings.sessionTable,
      // Nothing evicts from a table but the ttl.
      CACHE_TTL: '1h',
      ...process.env,
    },
    registry,
  )
}
