import { ConfigError, cachesFromEnv } from '@stowage/core'
import { standardDrivers } from '@stowage/drivers'

// The other drivers keep their names. This one is imported only if CACHE_DRIVER or SESSION_DRIVER selects it.
const drivers = standardDrivers().register('elasticache', () => import('./elasticache-driver.ts'))

try {
  const caches = await cachesFromEnv({ CACHE_DRIVER: 'elasticache', ...process.env }, drivers)
  const visits = await caches.use().increment('visits')
  console.log(`Visit ${visits}, counted in ${caches.use().driver}.`)
  await caches.close()
} catch (error) {
  if (!(error instanceof ConfigError)) throw error
  console.error(error.message)
  process.exitCode = 1
}
