import { Cache } from '@stowage/core'
import { memcached } from '@stowage/memcached'
import {
  type FaultProxy,
  type MemcachedServer,
  startMemcached,
  startProxy,
} from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const options = { ttl: '1m', staleWhileRevalidate: '1h', tags: ['t'] } as const
let servers: readonly MemcachedServer[]
let proxies: readonly FaultProxy[]

beforeAll(async () => {
  servers = await Promise.all([startMemcached(), startMemcached(), startMemcached()])
  proxies = await Promise.all(servers.map(({ port }) => startProxy(port)))
})

afterAll(async () => {
  for (const proxy of proxies) await proxy.stop()
  for (const server of servers) await server.stop()
})

describe.each(['binary', 'meta'] as const)('protocol %s', (protocol) => {
  test('a hit of remember with a stale window and a tag is one write per node, for all callers', async () => {
    const addresses = proxies.map(({ port }) => `127.0.0.1:${port}`)
    // Without a prefix: nothing confirms the id of a generation meanwhile.
    const cache = new Cache(memcached({ servers: addresses, protocol, timeout: '5s' }))
    const keys = Array.from({ length: 20 }, (_, index) => `${protocol}${index}`)
    const hit = (key: string) => cache.remember(key, options, () => key)
    // Twice: a read of unknown tags is a second round trip.
    for (let round = 0; round < 2; round++) await Promise.all(keys.map(hit))
    for (const called of [keys.slice(0, 1), keys, [...keys, ...keys]]) {
      const before = proxies.map(({ chunks }) => chunks.requests)
      expect(await Promise.all(called.map(hit))).toEqual(called)
      const writes = proxies.map(({ chunks }, index) => chunks.requests - (before[index] ?? 0))
      expect(Math.max(...writes)).toBe(1)
    }
    await cache.close()
  })
})
