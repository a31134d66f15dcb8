import { setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { memcached } from '@stowage/memcached'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hashRing } from '../src/hashing/hash-ring.ts'
import { parseAddress } from '../src/node-address.ts'

// What a cache with a prefix needs to know to clear itself lives on one node: the others must not go with it.

const keys = Array.from({ length: 300 }, (_, i) => `key ${i}`)
let servers: MemcachedServer[]
let cache: Cache

const addresses = () => servers.map(({ address }) => address)

function cacheOn(nodes: readonly string[]): Cache {
  return new Cache(memcached({ servers: nodes, timeout: '2s' }), { prefix: 'app:' })
}

/** The node of the generation. */
function holder(nodes: readonly string[]): number {
  const ring = hashRing(
    'ketama',
    nodes.map(parseAddress).filter((node) => node !== undefined),
  )
  return ring.indexOf('app:~generation')
}

async function outcomes(of: Cache) {
  const found = await Promise.allSettled(keys.map((key) => of.get(key)))
  const hits = found.filter((each) => each.status === 'fulfilled' && each.value === 'v').length
  const errors = found.filter(({ status }) => status === 'rejected').length
  return { hits, errors, misses: keys.length - hits - errors }
}

beforeEach(async () => {
  servers = await Promise.all([startMemcached(), startMemcached(), startMemcached()])
  cache = cacheOn(addresses())
  await cache.setMany(keys.map((key) => [key, 'v'] as const))
})

afterEach(async () => {
  await cache.close()
  await Promise.all(servers.map(({ stop }) => stop()))
})

test('the node of the generation dies and comes back empty: only what was on it is gone', async () => {
  const [index, lost] = [holder(addresses()), servers[holder(addresses())] as MemcachedServer]
  await lost.stop()
  // Longer than a generation is gone on with unread.
  await sleep(1_100)
  const without = await outcomes(cache)
  expect(without.hits).toBeGreaterThan(keys.length / 3)
  expect(without.errors).toBeGreaterThan(0)
  servers[index] = await lost.restart()
  const deadline = Date.now() + 20_000
  while ((await outcomes(cache)).errors > 0 && Date.now() < deadline) await sleep(50)
  expect(await outcomes(cache)).toMatchObject({ hits: without.hits, errors: 0 })
  // Another process finds what the first has put back.
  await sleep(1_100)
  expect((await outcomes(cache)).hits).toBe(without.hits)
  const other = cacheOn(addresses())
  expect((await outcomes(other)).hits).toBe(without.hits)
  await other.clear()
  await sleep(1_100)
  expect((await outcomes(cache)).hits).toBe(0)
  await other.close()
})
