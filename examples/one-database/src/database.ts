import { type Caches, cachesFromEnv, DriverRegistry, type Role } from '@stowage/core'
import pg from 'pg'

/** The one server of this app. */
export const url: string = process.env.DATABASE_URL ?? 'postgres://postgres@127.0.0.1:5432/postgres'

/** The connections for the data of the app. Cache and sessions have their own. */
export const pool: pg.Pool = new pg.Pool({ connectionString: url })

export function createCaches(): Promise<Caches<Role>> {
  const registry = new DriverRegistry({ postgres: () => import('@stowage/postgres') })
  return cachesFromEnv(
    {
      DATABASE_URL: url,
      CACHE_DRIVER: 'postgres',
      SESSION_DRIVER: 'postgres',
      POSTGRES_ENSURE_TABLE: 'verify',
      ...process.env,
    },
    registry,
  )
}
