import { type Caches, cachesFromEnv, DriverRegistry, type Role } from '@stowage/core'

/** The environment variables that the app and the two tools share. */
export interface Settings {
  readonly port: number
  readonly cacheTable: string
  readonly sessionTable: string
  readonly region: string | undefined
  readonly endpoint: string | undefined
}

export const settings: Settings = {
  port: Number(process.env.PORT ?? 3000),
  cacheTable: process.env.CACHE_TABLE ?? 'cache',
  sessionTable: process.env.SESSION_TABLE ?? 'sessions',
  // An empty variable counts as not set.
  region: process.env.AWS_REGION || undefined,
  endpoint: process.env.DYNAMODB_ENDPOINT || undefined,
}

export function createCaches(): Promise<Caches<Role>> {
  const registry = new DriverRegistry({ dynamodb: () => import('@stowage/dynamodb') })
  return cachesFromEnv(
    {
      CACHE_DRIVER: 'dynamodb',
      CACHE_TABLE: settings.cacheTable,
      SESSION_TABLE: settings.sessionTable,
      // A table has no eviction: items without a ttl stay forever.
      CACHE_TTL: '1h',
      ...process.env,
    },
    registry,
  )
}
