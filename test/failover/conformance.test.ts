import { setTimeout as sleep } from 'node:timers/promises'
import { CacheError, failover, withTimeout } from '@stowage/core'
import { type ByteStore, wrapStore } from '@stowage/core/driver'
import { memcached } from '@stowage/memcached'
import { memory } from '@stowage/memory'
import { redis } from '@stowage/redis'
import { isFullTier, startMemcached, startRedis, variantGroups } from '@stowage/test-servers'
import {
  type ConformanceGroup,
  conform,
  conformance,
  ManualClock,
  ReferenceStore,
} from '@stowage/testing'
import { afterAll, describe, test } from 'vitest'

const server = await startRedis()
afterAll(() => server.stop())

const allGroups = [...new Set(conformance.map(({ group }) => group))]
const wait = async (ms: number) => sleep(ms)
const onServers = { wait, concurrent: test.concurrent, sharedBackend: true }
const maxValueBytes = 1024 * 1024
const onRedis = () => redis({ url: server.url, maxValueBytes, timeout: '10s' })

describe('memory, then memory', () => {
  const clock = new ManualClock()
  const create = () => memory({ clock, maxValueBytes: 100_000 })
  conform(test, () => failover([create(), create()]), {
    wait: (ms) => clock.advance(ms),
    exact: true,
  })
})

describe('a reference store, then one with stricter limits', () => {
  const clock = new ManualClock()
  const limits = { keyBytes: 200, valueBytes: 100_000, ttlStep: 1_000 }
  conform(
    test,
    () =>
      failover([
        withTimeout<ByteStore>(new ReferenceStore({ clock }), '1m'),
        new ReferenceStore({ clock, limits }),
      ]),
    // Locks are in the primary store, which keeps ttls more precisely than the limits of both say.
    {
      wait: (ms) => clock.advance(ms),
      exact: true,
      groups: allGroups.filter((group) => group !== 'locks'),
    },
  )
})

describe('Redis, then memory', () => {
  conform(test, () => failover([onRedis(), memory({ maxValueBytes })]), {
    ...onServers,
    groups: variantGroups,
  })
})

if (isFullTier) {
  const fallback = await startRedis()
  const cache = await startMemcached()
  afterAll(() => Promise.all([fallback.stop(), cache.stop()]))
  const onFallback = () => redis({ url: fallback.url, maxValueBytes, timeout: '10s' })
  const onMemcached = () => memcached({ servers: [cache.address], timeout: '10s' })

  describe('Redis, then Redis', () => {
    conform(test, () => failover([onRedis(), onFallback()]), onServers)
  })

  describe('memcached, then memory', () => {
    conform(test, () => failover([onMemcached(), memory()]), onServers)
  })
}

describe('a fallback store during an outage', () => {
  const clock = new ManualClock()
  // Items expire after a day, whatever their ttl. Locks, and slots of concurrency limits, are only in the primary store.
  const isSupported = (group: ConformanceGroup) => !/expiry|ttl|tags|locks|rate limits/.test(group)
  conform(test, () => inOutage(() => memory({ clock })), {
    wait: (ms) => clock.advance(ms),
    exact: true,
    groups: allGroups.filter(isSupported),
  })
})

/** A store whose primary store does not reply. */
async function inOutage(createFallback: () => ByteStore) {
  const unreachable = wrapStore(memory(), (operation, call) => {
    if (operation === 'close') return call()
    throw new CacheError('ERR_CACHE_UNAVAILABLE', 'The test says so.', { operation })
  })
  const store = failover([unreachable, createFallback()])
  for (let calls = 0; calls < 10; calls++) await store.set(`key${calls}`, '1')
  return store
}
