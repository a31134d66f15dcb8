import { cachesFromEnv, DriverRegistry } from '@stowage/core'

const drivers = new DriverRegistry({ sqlite: () => import('./sqlite-driver.ts') })
const caches = await cachesFromEnv({ CACHE_DRIVER: 'sqlite', ...process.env }, drivers)
const cache = caches.use()

// Everything above the contract works: single flight, tags, locks, limits.
const load = () => ({ name: 'Lamp' })
const [first] = await Promise.all(
  Array.from({ length: 10 }, () =>
    cache.remember('product:1', { ttl: '5m', tags: ['products'] }, load),
  ),
)
console.log(first)
await cache.invalidateTags('products')
console.log(await cache.get('product:1'), await cache.increment('visits'))
await caches.close()
