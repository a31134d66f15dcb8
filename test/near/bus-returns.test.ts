import { Cache, type CacheStore, type InvalidationBus } from '@stowage/core'
import { type StoreOperation, wrapStore } from '@stowage/core/driver'
import { dynamodb, ensureTable } from '@stowage/dynamodb'
import { memcached } from '@stowage/memcached'
import { redis, redisBus, redisTracking } from '@stowage/redis'
import {
  type FaultProxy,
  isFullTier,
  type RedisServer,
  sharedDynamoDB,
  startMemcached,
  startProxy,
  startRedis,
} from '@stowage/test-servers'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'

const keys = Array.from({ length: 50 }, (_, index) => `key${index}`)
const rounds = 4
const waiting = { timeout: 20_000, interval: 5 }

let server: RedisServer
let proxy: FaultProxy
const stops: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  server = await startRedis()
  proxy = await startProxy(server.port)
})

afterAll(async () => {
  for (const stop of stops.reverse()) await stop()
  await proxy?.stop()
  await server?.stop()
})

const createStores: Record<string, () => Promise<CacheStore>> = {
  async redis() {
    return redis({ url: server.url, timeout: '20s' })
  },
  async memcached() {
    const node = await startMemcached()
    stops.push(() => node.stop())
    return memcached({ servers: [node.address], timeout: '20s' })
  },
  async dynamodb() {
    const { url, env, stop } = await sharedDynamoDB()
    stops.push(stop)
    Object.assign(process.env, env)
    const timeouts = { timeout: '20s', requestTimeout: '20s' } as const
    const options = { table: 'near', endpoint: url, region: env.AWS_REGION, ...timeouts }
    await ensureTable(options)
    return dynamodb(options)
  },
}

const combinations = [
  ['redis', 'tracking', redisTracking],
  ['redis', 'pub/sub', redisBus],
  ['memcached', 'pub/sub', redisBus],
  ['dynamodb', 'pub/sub', redisBus],
] as const

test.each(combinations.slice(0, isFullTier ? undefined : 2))(
  '%s with Redis %s: after the bus has returned, entries are read from the store and nothing is loaded',
  async (driver, name, createBus) => {
    const store = await createStores[driver]?.()
    if (store === undefined) throw new Error(driver)
    const bus = createBus({ url: proxy.url })
    const near = measuredCache(store, name, bus)
    const plain = measuredCache(store, name)
    await near.rememberAll()
    await plain.rememberAll()
    expect(near.loads + plain.loads).toBe(keys.length)
    await vi.waitUntil(async () => {
      near.reads = 0
      await near.rememberAll()
      return near.reads === 0
    }, waiting)

    proxy.refuse(true)
    proxy.cut()
    await vi.waitUntil(() => !bus.connected, waiting)
    await near.rememberAll()
    proxy.refuse(false)
    await vi.waitUntil(() => bus.connected, waiting)

    for (const each of [near, plain]) Object.assign(each, { loads: 0, reads: 0 })
    for (let round = 0; round < rounds; round++) {
      await near.rememberAll()
      await plain.rememberAll()
    }
    expect([near.loads, plain.loads]).toEqual([0, 0])
    expect(plain.reads).toBeGreaterThanOrEqual(rounds * keys.length)
    // Once, or twice if the bus reports its return after it is connected.
    expect(near.reads).toBeLessThanOrEqual(2 * keys.length)
    await near.close()
    await plain.close()
    await bus.close()
    await store.close()
  },
)

/** A cache that counts the keys that it reads from the store, and its loads. */
function measuredCache(store: CacheStore, prefix: string, bus?: InvalidationBus) {
  const counts = { loads: 0, reads: 0 }
  const counted = wrapStore(store, (operation, call, args) => {
    // Both caches use the store.
    if (operation === 'close') return undefined as never
    counts.reads += readKeys(operation, args)
    return call()
  })
  const cache = new Cache(counted, { prefix, ...(bus && { near: { bus } }) })
  const load = (key: string) => {
    counts.loads++
    return `value of ${key}`
  }
  return Object.assign(counts, {
    rememberAll: () =>
      Promise.all(
        // Twice: reads of a key at the same time are one.
        [...keys, ...keys].map((key) => cache.remember(key, { ttl: '1h' }, () => load(key))),
      ),
    close: () => cache.close(),
  })
}

function readKeys(operation: StoreOperation, [keys]: readonly unknown[]): number {
  if (operation === 'get') return 1
  return operation === 'getMany' || operation === 'getWithTtl' ? (keys as string[]).length : 0
}
