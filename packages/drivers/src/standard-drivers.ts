import { DriverRegistry } from '@stowage/core'

/**
 * Returns a registry of all drivers of Stowage: `memory`, `redis`, `memcached`, `dynamodb` and `lmdb`. A driver is imported when
 * the environment selects it, so only the packages of drivers that are used have to be installed. The error for a missing
 * one contains the command that installs it. Add drivers of your own with `register`.
 *
 * @example
 * const configured = await cachesFromEnv(process.env, standardDrivers())
 * console.log(configured.use('cache').driver) // → memory
 * await configured.close()
 */
export function standardDrivers(): DriverRegistry {
  return new DriverRegistry({
    memory: () => import('@stowage/memory'),
    redis: () => import('@stowage/redis'),
    memcached: () => import('@stowage/memcached'),
    dynamodb: () => import('@stowage/dynamodb'),
    lmdb: () => import('@stowage/lmdb'),
  })
}
