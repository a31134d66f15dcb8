import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { discoveryChannels, memcached, type NodeAddress } from '@stowage/memcached'
import {
  type FaultProxy,
  Stalls,
  startMemcached,
  startProxy,
  variantGroups,
} from '@stowage/test-servers'
import { type ConfigurationEndpoint, configurationEndpoint, conform } from '@stowage/testing'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { hashRing } from '../../src/hashing/hash-ring.ts'
import { parseAddress } from '../../src/node-address.ts'

const servers = await Promise.all(Array.from({ length: 5 }, () => startMemcached()))
const endpoints: ConfigurationEndpoint[] = []
const [a, b, c, d, e] = servers.map(({ address }) => address) as [string, ...string[]] as string[]
afterAll(async () => {
  for (const endpoint of endpoints) await endpoint.stop()
  for (const server of servers) await server.stop()
})

async function startEndpoint(nodes: readonly string[]) {
  const endpoint = await configurationEndpoint({ nodes })
  endpoints.push(endpoint)
  return { endpoint, address: `127.0.0.1:${endpoint.port}` }
}

const { address: conformanceEndpoint } = await startEndpoint([a, b, c] as string[])
const createStore = () => memcached({ configurationEndpoint: conformanceEndpoint, timeout: '20s' })
const wait = async (ms: number) => sleep(ms)

describe('nodes of a configuration endpoint', () => {
  conform(test, createStore, { wait, concurrent: test.concurrent, groups: variantGroups })
})

/** A node as ElastiCache lists it. Its host name stays the same when its address changes. */
function namedNode(name: string, address: string | undefined): string {
  return `${name}.cache.test|127.0.0.1|${address?.split(':')[1]}`
}

/** The machine may stop a server for longer than the default deadline. */
const patient = { timeout: 20_000 }
/** Its time stands still while the machine stops this process. */
const stalls = new Stalls()

/** Records when each list of nodes was applied, and how many queries the endpoint had received by then. */
function recordLists(endpoint: ConfigurationEndpoint) {
  const lists: { queries: number; appliedAt: number }[] = []
  const record = () => lists.push({ queries: endpoint.queryCount, appliedAt: stalls.runningMs })
  subscribe(discoveryChannels.nodes.name, record)
  return { lists, stop: () => unsubscribe(discoveryChannels.nodes.name, record) }
}

/** The keys that map to another node after a change of the nodes. */
function movedKeys(keys: readonly string[], from: readonly string[], to: readonly string[]) {
  const [nodeBefore, nodeAfter] = [from, to].map((nodes) => {
    const ring = hashRing(
      'ketama',
      nodes.map((node) => parseAddress(node) as NodeAddress),
    )
    return (key: string) => nodes[ring.indexOf(key)]
  })
  return keys.filter((key) => nodeBefore?.(key) !== nodeAfter?.(key))
}

test('twenty workers see only misses while nodes are added, removed and replaced', async () => {
  const three = [a, b, c] as string[]
  const { endpoint, address } = await startEndpoint(three)
  const store = memcached({ configurationEndpoint: address, pollInterval: '200ms', timeout: '20s' })
  const { lists, stop } = recordLists(endpoint)
  let keys: string[] = []
  const missed = new Set<string>()
  let wrongValues = 0
  let isDone = false
  const getOrSet = async (key: string) => {
    const value = await store.get(key)
    if (value !== undefined && String(value) !== key) wrongValues++
    if (value !== undefined) return
    missed.add(key)
    await store.set(key, key)
  }
  const useNewKeys = async (step: string) => {
    const newKeys = Array.from({ length: 2_000 }, (_, index) => `scale:${step}:${index}`)
    await store.setMany(newKeys.map((key) => [key, key] as const))
    keys = newKeys
    missed.clear()
  }
  await useNewKeys('start')
  const workers = Array.from({ length: 20 }, async () => {
    while (!isDone) {
      await getOrSet(keys[Math.floor(Math.random() * keys.length)] as string)
      await sleep(0)
    }
  })
  const steps: Record<string, readonly string[]> = {
    added: [...three, d as string],
    removed: three,
    replaced: [a, b, e] as string[],
  }
  let previous: readonly string[] = three
  for (const [step, nodes] of Object.entries(steps)) {
    // Keys of an earlier step could be hits on a node that returns to the cluster.
    await useNewKeys(step)
    const queries = endpoint.queryCount
    const applied = lists.length
    if (step === 'replaced') endpoint.nodes = nodes
    else endpoint.scale(nodes)
    await vi.waitFor(() => expect(lists.length).toBe(applied + 1), { timeout: 20_000 })
    // A poll may have been in flight when the nodes changed.
    expect((lists[applied]?.queries ?? Infinity) - queries).toBeLessThanOrEqual(2)
    await Promise.all(keys.map(getOrSet))
    const moved = movedKeys(keys, previous, nodes).length / keys.length
    expect(moved).toBeGreaterThan(0.1)
    expect(Math.abs(missed.size / keys.length - moved)).toBeLessThan(0.03)
    previous = nodes
  }
  isDone = true
  // A worker rejects if one of its calls did.
  await Promise.all(workers)
  expect(wrongValues).toBe(0)
  expect(store.nodes().map(({ state }) => state)).toEqual(['up', 'up', 'up'])
  stop()
  await store.close()
})

test('nodes that remain keep their connection when a node is added', async () => {
  const proxies = (await Promise.all(
    [a, b].map((node) => startProxy(Number(node?.split(':')[1]))),
  )) as [FaultProxy, FaultProxy]
  const nodes = proxies.map(({ port }, index) => namedNode(`n${index}`, `127.0.0.1:${port}`))
  const { endpoint, address } = await startEndpoint(nodes)
  // A call that misses its deadline closes its connection.
  const timeouts = { timeout: '1m', connectTimeout: '1m' } as const
  const store = memcached({ configurationEndpoint: address, pollInterval: '100ms', ...timeouts })
  const keys = Array.from({ length: 100 }, (_, index) => `stay:${index}`)
  await store.setMany(keys.map((key) => [key, key] as const))
  for (const proxy of proxies) proxy.refuse(true)
  endpoint.scale([...nodes, c as string])
  await expect.poll(() => store.nodes().length).toBe(3)
  // The proxies accept no second connection: without their first one, the call rejects.
  const found = await store.getMany(keys)
  const missed = keys.filter((_, index) => found[index] === undefined)
  const names = proxies.map(({ port }, index) => `n${index}.cache.test:${port}`)
  expect(missed).toEqual(movedKeys(keys, names, [...names, c as string]))
  await store.close()
  await Promise.all(proxies.map((proxy) => proxy.stop()))
})

test('a node with a new address keeps its keys', async () => {
  const { endpoint, address } = await startEndpoint(
    [a, b].map((node, i) => namedNode(`n${i}`, node)),
  )
  const timeouts = { timeout: '1m', connectTimeout: '1m' } as const
  const store = memcached({ configurationEndpoint: address, pollInterval: '100ms', ...timeouts })
  const keys = Array.from({ length: 100 }, (_, index) => `stay:${index}`)
  await store.setMany(keys.map((key) => [key, key] as const))
  // 127.0.0.2 is also this machine, but no server listens on it.
  endpoint.nodes = endpoint.nodes.map((node) =>
    node.replace('n0.cache.test|127.0.0.1', 'n0.cache.test|127.0.0.2'),
  )
  await expect.poll(() => store.nodes()[0]?.ip).toBe('127.0.0.2')
  const outcomes = await Promise.allSettled(keys.map((key) => store.get(key)))
  const failed = outcomes.filter(({ status }) => status === 'rejected').length
  expect(failed).toBeGreaterThan(20)
  endpoint.nodes = endpoint.nodes.map((node) => node.replace('127.0.0.2', '127.0.0.1'))
  await expect.poll(() => store.nodes()[0]?.ip).toBe('127.0.0.1')
  expect((await store.getMany(keys)).map(String)).toEqual(keys)
  await store.close()
})

test.each(['stops', 'freezes'])(
  'a node that %s is replaced within two seconds, with the default options',
  async (failure) => {
    const failing = await startMemcached()
    // On AWS each node returns the configuration. Here the node that stays healthy does.
    const healthy = await configurationEndpoint({ nodes: [], target: a as string })
    endpoints.push(healthy)
    const healthyAddress = `127.0.0.1:${healthy.port}`
    const nodes = [healthyAddress, failing.address]
    const newNodes = [healthyAddress, b as string]
    healthy.nodes = nodes
    const store = memcached({ configurationEndpoint: healthyAddress })
    const { lists, stop } = recordLists(healthy)
    const keys = Array.from({ length: 100 }, (_, index) => `failure:${failure}:${index}`)
    const items = keys.map((key) => [key, key] as const)
    await vi.waitFor(() => store.setMany(items), patient)
    // An early poll starts at least a second after the last one.
    await sleep(1_000)
    if (failure === 'stops') await failing.stop()
    else failing.kill('SIGSTOP')
    const failedAt = stalls.runningMs
    healthy.scale(newNodes)
    while (lists.length < 2) await Promise.allSettled(keys.map((key) => store.get(key)))
    expect((lists[1]?.appliedAt ?? Infinity) - failedAt).toBeLessThan(2_000)
    const found = await vi.waitFor(() => store.getMany(keys), patient)
    const missed = keys.filter((_, index) => found[index] === undefined)
    expect(missed).toEqual(movedKeys(keys, nodes, newNodes))
    stop()
    await failing.stop()
    await store.close()
  },
)

test('a plain memcached can take the place of the configuration endpoint', async () => {
  const timeouts = { timeout: '5s', connectTimeout: '5s' } as const
  const store = memcached({ configurationEndpoint: d as string, ...timeouts })
  await store.set('k', 'v')
  expect(String(await store.get('k'))).toBe('v')
  expect(store.nodes()).toMatchObject([{ host: '127.0.0.1', state: 'up' }])
  await store.close()
})
