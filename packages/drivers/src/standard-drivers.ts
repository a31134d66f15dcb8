import { DriverRegistry } from '@stowage/core'

/**
 * Returns a registry of all drivers of Stowage: `memory`, `redis`, `memcached`, `dynamodb`, `lmdb` and `postgres`. A driver is
 * imported when the environment selects it, so only the packages of drivers that are used have to be installed. The error for a missing
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
    redis: () => importOptional('redis'),
    memcached: () => importOptional('memcached'),
    dynamodb: () => importOptional('dynamodb'),
    lmdb: () => importOptional('lmdb'),
    postgres: () => importOptional('postgres'),
  })
}

/**
 * Imports a package that need not be installed. Within `try`: there, esbuild leaves an import that it cannot
 * resolve to the run time.
 */
async function importOptional(name: 'redis' | 'memcached' | 'dynamodb' | 'lmdb' | 'postgres') {
  try {
    if (name === 'redis') return await import('@stowage/redis')
    if (name === 'memcached') return await import('@stowage/memcached')
    if (name === 'dynamodb') return await import('@stowage/dynamodb')
    if (name === 'postgres') return await import('@stowage/postgres')
    return await import('@stowage/lmdb')
  } catch (error) {
    throw error instanceof Error ? error : new Error(String(error))
  }
}
