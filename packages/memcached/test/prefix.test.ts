import { setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { memcached } from '@stowage/memcached'
import { isFullTier, type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hashRing } from '../src/hashing/hash-ring.ts'
import { parseAddress } from '../src/node-address.ts'
import { fuzzTopology } from './fuzz/fuzz-topology.mjs'
import { startCacheProcess } from './fuzz/start-cache-process.mjs'

// The generation of a cache with a prefix, which clear() replaces, is stored on up to three nodes. The failure of one of
// them must not affect the keys of the other nodes.

const keys = Array.from({ length: 300 }, (_, i) => `key ${i}`)
let servers: MemcachedServer[]
let cache: Cache

const addresses = () => servers.map(({ address }) => address)

function createCache(nodes: readonly string[], prefix = 'app:'): Cache {
  return new Cache(memcached({ servers: nodes, timeout: '2s' }), { prefix })
}

/** Indexes of the nodes to which the keys of the copies map that every process reads. */
function generationNodes(nodes: readonly string[], prefix = 'app:'): number[] {
  const ring = hashRing(
    'ketama',
    nodes.map(parseAddress).filter((node) => node !== undefined),
  )
  return ['', '1', '2'].map((copy) => ring.indexOf(`${prefix}~generation${copy}`))
}

/** Starts three nodes. The copies of the generation are on several of them, which depends on their ports. */
async function startNodes(): Promise<MemcachedServer[]> {
  const started = await Promise.all([startMemcached(), startMemcached(), startMemcached()])
  const nodes = generationNodes(started.map(({ address }) => address))
  if (new Set(nodes).size > 1) return started
  await Promise.all(started.map(({ stop }) => stop()))
  return startNodes()
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
  servers = await startNodes()
  cache = createCache(addresses())
  await cache.setMany(keys.map((key) => [key, 'v'] as const))
})

afterEach(async () => {
  await cache.close()
  await Promise.all(servers.map(({ stop }) => stop()))
})

test('only the keys of a node are lost when the node that stores the generation restarts empty', async () => {
  const [index = 0] = generationNodes(addresses())
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

/** Starts a process with a cache of its own. */
async function withCacheProcess<T>(
  use: (process: ReturnType<typeof startCacheProcess>) => Promise<T>,
): Promise<T> {
  const child = startCacheProcess({ servers: addresses(), timeout: '2s' })
  try {
    return await use(child)
  } finally {
    await child.stop()
  }
}

test('an idle process does not undo a clear when the nodes have lost the generation', async () => {
  await withCacheProcess(async (idle) => {
    expect(await idle.call('app:', 'get', 'key 1')).toEqual({ value: 'v' })
    await cache.clear()
    const copies = Array.from({ length: 120 }, (_, copy) => (copy === 0 ? '' : copy))
    const store = memcached({ servers: addresses(), timeout: '20s' })
    const lost = await store.deleteMany(copies.map((copy) => `app:~generation${copy}`))
    expect(lost).toBeGreaterThanOrEqual(3)
    await store.close()
    // Longer than an id is restored.
    await sleep(2_100)
    for (const key of keys.slice(0, 20)) expect(await idle.call('app:', 'get', key)).toEqual({})
    await sleep(1_100)
    expect((await readAll(cache)).hits).toBe(0)
  })
})

test('a clear outlives the node to which the keys of all three copies of its id map', async () => {
  const prefixes = Array.from({ length: 10_000 }, (_, index) => `prefix ${index}:`)
  const prefix = prefixes.find((each) => new Set(generationNodes(addresses(), each)).size === 1)
  const caches = [1, 2].map(() => createCache(addresses(), prefix))
  const [one, two] = caches as [Cache, Cache]
  await one.setMany(keys.map((key) => [key, 'v'] as const))
  expect(await two.get('key 1', { consistency: 'strong' })).toBe('v')
  await one.clear()
  await servers[generationNodes(addresses(), prefix)[0] as number]?.stop()
  const reads = await Promise.allSettled(keys.map((key) => two.get(key, { consistency: 'strong' })))
  const values = reads.flatMap((read) => (read.status === 'fulfilled' ? [read.value] : []))
  expect(new Set(values)).toEqual(new Set([undefined]))
  // A third of the keys is on the node that has stopped.
  expect(values.length).toBeGreaterThan(keys.length / 3)
  await Promise.all(caches.map((each) => each.close()))
})

test('two processes do not both add a lock after a clear', async () => {
  await withCacheProcess(async (other) => {
    for (let round = 0; round < 20; round++) {
      await other.call('app:', 'get', 'x')
      await cache.clear()
      const isOwn = await cache.add(`lock ${round}`, 'own', { ttl: '30s' })
      const { value: isOther } = await other.call('app:', 'add', `lock ${round}`, 'other', {})
      expect([isOwn, isOther]).toEqual([true, false])
    }
  })
})

test.each(isFullTier ? [0, 1, 2] : [1])(
  'a process starts while node %i is frozen',
  async (index) => {
    servers[index]?.kill('SIGSTOP')
    await withCacheProcess(async (started) => {
      const codes: string[] = []
      const values: unknown[] = []
      for (const key of keys.slice(0, 40)) {
        const { code, value } = await started.call('app:', 'get', key)
        if (code === undefined) values.push(value)
        else codes.push(code)
      }
      // Misses only if every copy of the id is on the frozen node: the process then begins a generation of its own.
      expect(values.every((value) => value === values[0])).toBe(true)
      expect(['v', undefined]).toContain(values[0])
      expect(values.length).toBeGreaterThan(10)
      expect(codes.length).toBeLessThan(30)
    })
    servers[index]?.kill('SIGCONT')
  },
)

test('time() is that of the first server that replies', async () => {
  servers[0]?.kill('SIGSTOP')
  const store = memcached({ servers: addresses(), timeout: '300ms', connectTimeout: '300ms' })
  const earliest = Date.now()
  const time = (await store.time?.()) ?? 0
  // The clock of a server ticks once per second.
  expect(time).toBeGreaterThan(earliest - 5_000)
  expect(time).toBeLessThan(Date.now() + 5_000)
  expect(time % 1_000).toBe(0)
  servers[0]?.kill('SIGCONT')
  await store.close()
})

test('no clear is undone while nodes are added, removed and replaced', {
  timeout: 180_000,
}, async () => {
  const { undone, hits } = await fuzzTopology(isFullTier ? 20 : 10)
  expect(undone).toEqual([])
  expect(hits).toBeGreaterThan(0)
})
