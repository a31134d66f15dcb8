const { Cache, cachesFromEnv } = require('@stowage/core')
const { standardDrivers } = require('@stowage/drivers')
const { memory } = require('@stowage/memory')
const { redis } = require('@stowage/redis')
const { memcached } = require('@stowage/memcached')
const { dynamodb } = require('@stowage/dynamodb')
const { SessionStore } = require('@stowage/express')

test('a CommonJS test uses the packages', async () => {
  const cache = new Cache(memory(), { prefix: 'app:' })
  await cache.set('a', 1)
  expect(await cache.get('a')).toBe(1)
  for (const item of [redis, memcached, dynamodb, SessionStore])
    expect(typeof item).toBe('function')
  await cache.close()
})

test('a CommonJS test selects a driver', async () => {
  const caches = await cachesFromEnv({ CACHE_DRIVER: 'redis' }, standardDrivers())
  expect(caches.use().driver).toBe('redis')
  await caches.close()
})
