import { setTimeout as sleep } from 'node:timers/promises'
import { memcached } from '@stowage/memcached'
import {
  type ConfigurationEndpoint,
  configurationEndpoint,
  conform,
  conformance,
} from '@stowage/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { type FaultProxy, startProxy } from '../../../scripts/lib/fault-proxy.mjs'
import { startMemcached } from '../../../scripts/lib/memcached-server.mjs'

const servers = await Promise.all(Array.from({ length: 5 }, () => startMemcached()))
const endpoints: ConfigurationEndpoint[] = []
const [a, b, c, d, e] = servers.map(({ address }) => address) as [string, ...string[]] as string[]
afterAll(async () => {
  for (const endpoint of endpoints) await endpoint.stop()
  for (const server of servers) await server.stop()
})

async function endpointOf(nodes: readonly string[]) {
  const endpoint = await configurationEndpoint({ nodes })
  endpoints.push(endpoint)
  return { endpoint, address: `127.0.0.1:${endpoint.port}` }
}

const { address: steady } = await endpointOf([a, b, c] as string[])
const groups = [...new Set(conformance.map(({ group }) => group))].filter(
  (group) => group !== 'clear' && group !== 'expiry',
)

describe.concurrent('nodes told by a configuration endpoint', () => {
  const create = () => memcached({ configurationEndpoint: steady, timeout: '5s' })
  conform(test, create, { wait: async (ms) => sleep(ms), groups })
})

/** Nodes as ElastiCache writes them: the name stays, the address behind it may change. */
function named(name: string, address: string | undefined): string {
  return `${name}.cache.test|127.0.0.1|${address?.split(':')[1]}`
}

test('twenty workers notice nothing but misses while the cluster grows, shrinks and has a node replaced', async () => {
  const three = [a, b, c] as string[]
  const { endpoint, address } = await endpointOf(three)
  const store = memcached({ configurationEndpoint: address, pollInterval: '200ms', timeout: '5s' })
  const keys = Array.from({ length: 2_000 }, (_, index) => `scale:${index}`)
  await store.setMany(keys.map((key) => [key, key] as const))
  const count = { asked: 0, wrong: 0, missed: 0 }
  let over = false
  const workers = Array.from({ length: 20 }, async () => {
    while (!over) {
      const key = keys[Math.floor(Math.random() * keys.length)] as string
      const value = await store.get(key)
      count.asked++
      if (value === undefined) {
        count.missed++
        await store.set(key, key)
      } else if (String(value) !== key) count.wrong++
      await sleep(0)
    }
  })
  const become = async (nodes: readonly string[]) => {
    const ports = nodes.map((node) => Number(node.split(':')[1]))
    await expect
      .poll(() => store.nodes().map(({ port }) => port), { timeout: 20_000 })
      .toEqual(ports)
    await sleep(300)
  }
  const missing = async () =>
    (await store.getMany(keys)).filter((value) => value === undefined).length / keys.length
  endpoint.scale([...three, d as string])
  await become([...three, d as string])
  endpoint.scale(three)
  await become(three)
  // In place: the version stays.
  endpoint.nodes = [a, b, e] as string[]
  await become([a, b, e] as string[])
  over = true
  await Promise.all(workers)
  expect(count.wrong).toBe(0)
  expect(count.missed).toBeLessThan(keys.length)
  expect(await missing()).toBeLessThan(0.5)
  await store.close()
})

test('nodes that stay keep their connection when others come', async () => {
  const wires = (await Promise.all(
    [a, b].map((node) => startProxy(Number(node?.split(':')[1]))),
  )) as [FaultProxy, FaultProxy]
  const nodes = wires.map(({ port }, index) => `n${index}.cache.test|127.0.0.1|${port}`)
  const { endpoint, address } = await endpointOf(nodes)
  const store = memcached({ configurationEndpoint: address, pollInterval: '100ms' })
  const keys = Array.from({ length: 100 }, (_, index) => `stay:${index}`)
  await store.setMany(keys.map((key) => [key, key] as const))
  for (const wire of wires) wire.refuse(true)
  endpoint.scale([...nodes, c as string])
  await expect.poll(() => store.nodes().length, { timeout: 20_000 }).toBe(3)
  const found = await store.getMany(keys)
  const kept = found.filter((value) => value !== undefined).length
  expect(kept).toBeGreaterThan(keys.length / 3)
  await store.close()
  await Promise.all(wires.map((wire) => wire.stop()))
})

test('a name that gets another address keeps its place', async () => {
  const { endpoint, address } = await endpointOf([a, b].map((node, i) => named(`n${i}`, node)))
  const store = memcached({ configurationEndpoint: address, pollInterval: '100ms' })
  const keys = Array.from({ length: 100 }, (_, index) => `stay:${index}`)
  await store.setMany(keys.map((key) => [key, key] as const))
  // The whole loopback net is this machine, but only one address of it has the servers.
  endpoint.nodes = endpoint.nodes.map((node) =>
    node.replace('n0.cache.test|127.0.0.1', 'n0.cache.test|127.0.0.2'),
  )
  await expect.poll(() => store.nodes()[0]?.ip, { timeout: 20_000 }).toBe('127.0.0.2')
  const outcomes = await Promise.allSettled(keys.map((key) => store.get(key)))
  const gone = outcomes.filter(({ status }) => status === 'rejected').length
  expect(gone).toBeGreaterThan(20)
  endpoint.nodes = endpoint.nodes.map((node) => node.replace('127.0.0.2', '127.0.0.1'))
  await expect.poll(() => store.nodes()[0]?.ip, { timeout: 20_000 }).toBe('127.0.0.1')
  expect((await store.getMany(keys)).map(String)).toEqual(keys)
  await store.close()
})

test('a node that died is found out about long before the next poll', async () => {
  const dying = await startMemcached()
  const { endpoint, address } = await endpointOf([a as string, dying.address])
  const store = memcached({ configurationEndpoint: address })
  const keys = Array.from({ length: 100 }, (_, index) => `died:${index}`)
  await store.setMany(keys.map((key) => [key, key] as const))
  await dying.stop()
  endpoint.nodes = [a as string, b as string]
  const begun = performance.now()
  await expect
    .poll(async () => (await store.getMany(keys)).length, { timeout: 20_000 })
    .toBe(keys.length)
  // The poll would be a minute later.
  expect(performance.now() - begun).toBeLessThan(10_000)
  await store.close()
})

test('one plain memcached in the place of a cluster', async () => {
  const store = memcached({ configurationEndpoint: d as string })
  await store.set('k', 'v')
  expect(String(await store.get('k'))).toBe('v')
  expect(store.nodes()).toMatchObject([{ host: '127.0.0.1', state: 'up' }])
  await store.close()
})
