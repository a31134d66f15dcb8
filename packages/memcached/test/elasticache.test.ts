import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { discoveryChannels, memcached, type NodeAddress } from '@stowage/memcached'
import { type FaultProxy, startMemcached, startProxy } from '@stowage/test-servers'
import {
  type ConfigurationEndpoint,
  configurationEndpoint,
  conform,
  conformance,
} from '@stowage/testing'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { hashRing } from '../src/hashing/hash-ring.ts'
import { parseAddress } from '../src/node-address.ts'

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
  (group) => group !== 'clear',
)

const told = () => memcached({ configurationEndpoint: steady, timeout: '5s' })
const wait = async (ms: number) => sleep(ms)

describe.concurrent('nodes told by a configuration endpoint', () => {
  conform(test, told, { wait, groups })
})

describe('nodes told by a configuration endpoint, emptied', () => {
  conform(test, told, { wait, groups: ['clear'] })
})

/** Nodes as ElastiCache writes them: the name stays, the address behind it may change. */
function named(name: string, address: string | undefined): string {
  return `${name}.cache.test|127.0.0.1|${address?.split(':')[1]}`
}

/** Tells how often the endpoint had been asked when each new list was put in force, and when that was. */
function watchLists(endpoint: ConfigurationEndpoint) {
  const lists: { asked: number; at: number }[] = []
  const note = () => lists.push({ asked: endpoint.queryCount, at: performance.now() })
  subscribe(discoveryChannels.nodes.name, note)
  return { lists, stop: () => unsubscribe(discoveryChannels.nodes.name, note) }
}

/** The share of the keys that live on another node then. */
function movedShare(keys: readonly string[], from: readonly string[], to: readonly string[]) {
  const owners = [from, to].map((nodes) => {
    const ring = hashRing(
      'ketama',
      nodes.map((node) => parseAddress(node) as NodeAddress),
    )
    return (key: string) => nodes[ring.indexOf(key)]
  })
  return keys.filter((key) => owners[0]?.(key) !== owners[1]?.(key)).length / keys.length
}

test('twenty workers notice nothing but misses while the cluster grows, shrinks and has a node replaced', async () => {
  const three = [a, b, c] as string[]
  const { endpoint, address } = await endpointOf(three)
  const store = memcached({ configurationEndpoint: address, pollInterval: '200ms', timeout: '5s' })
  const { lists, stop } = watchLists(endpoint)
  let keys: string[] = []
  const missed = new Set<string>()
  let wrong = 0
  let over = false
  const ask = async (key: string) => {
    const value = await store.get(key)
    if (value !== undefined && String(value) !== key) wrong++
    if (value !== undefined) return
    missed.add(key)
    await store.set(key, key)
  }
  const refill = async (step: string) => {
    const fresh = Array.from({ length: 2_000 }, (_, index) => `scale:${step}:${index}`)
    await store.setMany(fresh.map((key) => [key, key] as const))
    keys = fresh
    missed.clear()
  }
  await refill('start')
  const workers = Array.from({ length: 20 }, async () => {
    while (!over) {
      await ask(keys[Math.floor(Math.random() * keys.length)] as string)
      await sleep(0)
    }
  })
  const steps: Record<string, readonly string[]> = {
    grown: [...three, d as string],
    shrunk: three,
    replaced: [a, b, e] as string[],
  }
  let before: readonly string[] = three
  for (const [step, nodes] of Object.entries(steps)) {
    // Of their own: what an earlier step left on a node would be found there again.
    await refill(step)
    const asked = endpoint.queryCount
    const seen = lists.length
    if (step === 'replaced') endpoint.nodes = nodes
    else endpoint.scale(nodes)
    await vi.waitFor(() => expect(lists.length).toBe(seen + 1), { timeout: 20_000 })
    // One poll may have been under way.
    expect((lists[seen]?.asked ?? Infinity) - asked).toBeLessThanOrEqual(2)
    await Promise.all(keys.map(ask))
    const moved = movedShare(keys, before, nodes)
    expect(moved).toBeGreaterThan(0.1)
    expect(Math.abs(missed.size / keys.length - moved)).toBeLessThan(0.03)
    before = nodes
  }
  over = true
  // Any error of a call is one of a worker.
  await Promise.all(workers)
  expect(wrong).toBe(0)
  expect(store.nodes().map(({ state }) => state)).toEqual(['up', 'up', 'up'])
  stop()
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
  expect(wires.map(({ accepted, connections }) => [accepted, connections])).toEqual([
    [1, 1],
    [1, 1],
  ])
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

test.each(['dies', 'freezes'])(
  'a node that %s is found out about within two seconds, with the default settings',
  async (how) => {
    const dying = await startMemcached()
    // As on AWS, each node tells the configuration; this one lives.
    const living = await configurationEndpoint({ nodes: [], target: a as string })
    endpoints.push(living)
    const own = `127.0.0.1:${living.port}`
    living.nodes = [own, dying.address]
    const store = memcached({ configurationEndpoint: own })
    const { lists, stop } = watchLists(living)
    const keys = Array.from({ length: 100 }, (_, index) => `died:${how}:${index}`)
    await store.setMany(keys.map((key) => [key, key] as const))
    // Two polls are a second apart at least.
    await sleep(1_000)
    if (how === 'dies') await dying.stop()
    else dying.kill('SIGSTOP')
    const begun = performance.now()
    living.scale([own, b as string])
    while (lists.length < 2) await Promise.allSettled(keys.map((key) => store.get(key)))
    expect((lists[1]?.at ?? Infinity) - begun).toBeLessThan(2_000)
    const found = await store.getMany(keys)
    expect(found.filter((value) => value !== undefined).length).toBeGreaterThan(20)
    stop()
    await dying.stop()
    await store.close()
  },
)

test('one plain memcached in the place of a cluster', async () => {
  const store = memcached({ configurationEndpoint: d as string })
  await store.set('k', 'v')
  expect(String(await store.get('k'))).toBe('v')
  expect(store.nodes()).toMatchObject([{ host: '127.0.0.1', state: 'up' }])
  await store.close()
})
