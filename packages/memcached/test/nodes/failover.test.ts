import { setTimeout as sleep } from 'node:timers/promises'
import { memcached } from '@stowage/memcached'
import { type MemcachedServer, startMemcached } from '@stowage/test-servers'
import { configurationEndpoint } from '@stowage/testing'
import { afterEach, expect, test } from 'vitest'

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function startNodes(count: number): Promise<MemcachedServer[]> {
  const nodes = await Promise.all(Array.from({ length: count }, () => startMemcached()))
  for (const node of nodes) cleanups.push(node.stop)
  return nodes
}

type Store = ReturnType<typeof memcached>

function createStore(options: Parameters<typeof memcached>[0]): Store {
  const timing = { timeout: '1s', connectTimeout: '1s', retryInterval: '50ms' } as const
  const store = memcached({ ...timing, ...options })
  cleanups.push(() => store.close())
  return store
}

/** The server that stores the key. */
async function serverOf(servers: readonly MemcachedServer[], key: string) {
  for (const server of servers) {
    const store = memcached({ servers: [server.address], timeout: '1s' })
    const value = await Promise.resolve(store.get(key)).catch(() => undefined)
    await store.close()
    if (value !== undefined) return server
  }
  throw new Error('no server stores the key')
}

const downCount = (store: Store) => store.nodes().filter(({ state }) => state === 'down').length

async function freeze(server: MemcachedServer, store: Store, key: string, down: number) {
  server.kill('SIGSTOP')
  cleanups.push(() => server.kill('SIGCONT'))
  const readAndCount = async () => {
    await store.get(key)
    return downCount(store)
  }
  await expect.poll(readAndCount).toBe(down)
}

test.each(['set', 'delete'] as const)(
  'a %s while a second node is down is not undone when that node returns',
  async (operation) => {
    const servers = await startNodes(3)
    const addresses = servers.map(({ address }) => address)
    const store = createStore({ servers: addresses, onNodeDown: 'failover' })
    await store.set('k', 'v0')
    const first = await serverOf(servers, 'k')
    await freeze(first, store, 'k', 1)
    await store.set('k', 'v1')
    const second = await serverOf(
      servers.filter((server) => server !== first),
      'k',
    )
    second.kill('SIGSTOP')
    cleanups.push(() => second.kill('SIGCONT'))
    await store.ping()
    if (operation === 'set') await store.set('k', 'v2')
    else await store.delete('k')
    await expect.poll(() => downCount(store)).toBe(2)
    second.kill('SIGCONT')
    await expect.poll(() => downCount(store)).toBe(1)
    expect(['v2', 'undefined']).toContain(String(await store.get('k')))
    first.kill('SIGCONT')
    await expect.poll(() => downCount(store)).toBe(0)
    expect(['v2', 'undefined']).toContain(String(await store.get('k')))
  },
)

test.each(['miss', 'failover'] as const)(
  "deletes of an outage are executed on a node that was removed and added again, '%s'",
  async (onNodeDown) => {
    const [a, b] = (await startNodes(2)) as [MemcachedServer, MemcachedServer]
    const target = a.address
    const endpoint = await configurationEndpoint({ nodes: [a.address, b.address], target })
    cleanups.push(() => endpoint.stop())
    const store = createStore({
      configurationEndpoint: `127.0.0.1:${endpoint.port}`,
      pollInterval: '50ms',
      onNodeDown,
    })
    const keys = Array.from({ length: 60 }, (_, index) => `k${index}`)
    await store.setMany(keys.map((key) => [key, 'old'] as const))
    b.kill('SIGSTOP')
    cleanups.push(() => b.kill('SIGCONT'))
    await store.getMany(keys)
    await store.deleteMany(keys)
    endpoint.scale([a.address])
    await expect.poll(() => store.nodes().length).toBe(1)
    // The attempts to connect to the removed node end.
    await sleep(1_500)
    b.kill('SIGCONT')
    endpoint.scale([a.address, b.address])
    await expect.poll(() => store.nodes().length).toBe(2)
    await expect.poll(() => downCount(store)).toBe(0)
    expect(await store.getMany(keys)).toEqual(keys.map(() => undefined))
  },
)

test('a call without a healthy node has the result of a miss, and an error names the node', async () => {
  const [a, b] = (await startNodes(2)) as [MemcachedServer, MemcachedServer]
  const servers = [a.address, b.address]
  const store = createStore({ servers, onNodeDown: 'failover' })
  const keys = ['k1', 'k2', 'k3', 'k4', 'k5', 'k6']
  await store.setMany(keys.map((key) => [key, 'v'] as const))
  await Promise.all([a.stop(), b.stop()])
  for (let attempt = 0; attempt < 5; attempt++) {
    expect(await store.getMany(keys)).toEqual(keys.map(() => undefined))
  }
  await store.setMany(keys.map((key) => [key, 'v'] as const))
  const error = await Promise.resolve(store.add('k1', 'v')).catch((reason) => reason)
  expect(error).toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  expect(servers.some((address) => error.message.includes(`add failed: ${address}: `))).toBe(true)
})
