import { setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { memcached } from '@stowage/memcached'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hashRing } from '../src/hashing/hash-ring.ts'
import { parseAddress } from '../src/node-address.ts'

// The generation of a cache with a prefix, which clear() replaces, is stored on one node. The failure of that node must
// not affect the keys of the other nodes.

const keys = Array.from({ length: 300 }, (_, i) => `key ${i}`)
let servers: MemcachedServer[]
let cache: Cache

const addresses = () => servers.map(({ address }) => address)

function createCache(nodes: readonly string[]): Cache {
  return new Cache(memcached({ servers: nodes, timeout: '2s' }), { prefix: 'app:' })
}

/** Index of the node that stores the generation. */
function generationNode(nodes: readonly string[]): number {
  const ring = hashRing(
    'ketama',
    nodes.map(parseAddress).filter((node) => node !== undefined),
  )
  return ring.indexOf('app:~generation')
}

async function readAll(from: Cache) {
  const results = await Promise.allSettled(keys.map((key) => from.get(key)))
  const isHit = (result: PromiseSettledResult<unknown>) =>
    result.status === 'fulfilled' && result.value === 'v'
  const hits = results.filter(isHit).length
  const errors = results.filter(({ status }) => status === 'rejected').length
  return { hits, errors, misses: keys.length - hits - errors }
}

beforeEach(async () => {
  servers = await Promise.all([startMemcached(), startMemcached(), startMemcached()])
  cache = createCache(addresses())
  await cache.setMany(keys.map((key) => [key, 'v'] as const))
})

afterEach(async () => {
  await cache.close()
  await Promise.all(servers.map(({ stop }) => stop()))
})

test('only the keys of a node are lost when the node that stores the generation restarts empty', async () => {
  const index = generationNode(addresses())
  const failed = servers[index] as MemcachedServer
  await failed.stop()
  // Longer than a generation is used without being read.
  await sleep(1_100)
  const duringOutage = await readAll(cache)
  expect(duringOutage.hits).toBeGreaterThan(keys.length / 3)
  expect(duringOutage.errors).toBeGreaterThan(0)
  servers[index] = await failed.restart()
  const deadline = Date.now() + 20_000
  while ((await readAll(cache)).errors > 0 && Date.now() < deadline) await sleep(50)
  expect(await readAll(cache)).toMatchObject({ hits: duringOutage.hits, errors: 0 })
  // Another process reads the generation that the first one has restored.
  await sleep(1_100)
  expect((await readAll(cache)).hits).toBe(duringOutage.hits)
  const other = createCache(addresses())
  expect((await readAll(other)).hits).toBe(duringOutage.hits)
  await other.clear()
  await sleep(1_100)
  expect((await readAll(cache)).hits).toBe(0)
  await other.close()
})
