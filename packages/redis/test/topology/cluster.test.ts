import { setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { redis } from '@stowage/redis'
import {
  type Cluster,
  command,
  isFullTier,
  Stalls,
  startCluster,
  variantGroups,
} from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import slotOf from 'cluster-key-slot'
import { Cluster as ClusterClient } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { countReads, waitUntil, waitUntilSucceeds } from '../helpers.ts'
import { closeStores, createStore, stores } from './cluster-stores.ts'

afterEach(closeStores)

describe('three masters', () => {
  let cluster: Cluster

  beforeAll(async () => {
    cluster = await startCluster()
  })
  afterAll(() => cluster.stop())

  conform(test, () => createStore(cluster), {
    wait: async (ms) => sleep(ms),
    groups: variantGroups,
  })

  test('an injected client of a cluster is supported', async () => {
    const client = new ClusterClient(cluster.addresses)
    const timeout = '20s'
    const cache = new Cache(redis({ client, timeout }), { prefix: 'injected:' })
    const keys = Array.from({ length: 100 }, (_, i) => `key ${i}`)
    const values = keys.map((_, i) => i)
    await Promise.all(keys.map((key, i) => cache.set(key, i)))
    expect(await Promise.all(keys.map((key) => cache.get(key)))).toEqual(values)
    await cache.setMany(
      keys.map((key, i) => [key, i]),
      { ttl: '1m' },
    )
    expect(await cache.getMany(keys)).toEqual(values)
    expect(await cache.increment('n')).toBe(1)
    await cache.clear()
    expect(await cache.getMany(keys)).toEqual(keys.map(() => undefined))
    client.disconnect()
    const idle = new ClusterClient(cluster.addresses, { lazyConnect: true })
    await new Cache(redis({ client: idle, timeout })).clear()
    idle.disconnect()
  })

  /** How often each node has received TIME. */
  const countTime = async () => {
    const stats = await Promise.all(
      cluster.nodes.map(({ port }) => command(port, 'INFO', 'commandstats')),
    )
    return stats.map((text) => Number(/cmdstat_time:calls=(\d+)/.exec(`${text}`)?.[1] ?? 0))
  }

  test('the time is that of the master of the first slot, for all processes', async () => {
    const clients = [
      new ClusterClient(cluster.addresses),
      new ClusterClient(cluster.addresses, { lazyConnect: true }),
    ]
    const injected = clients.map((client) => redis({ client, timeout: '20s' }))
    const all = [createStore(cluster), createStore(cluster, { readFrom: 'replica' }), ...injected]
    const before = await countTime()
    for (const store of all) {
      for (let call = 1; call <= 10; call++) {
        const error = Math.abs(Number(await store.time?.()) - Date.now())
        expect(error).toBeLessThan(10_000)
      }
    }
    const [first = 0, ...others] = before
    expect(await countTime()).toEqual([first + 40, ...others])
    for (const client of clients) client.disconnect()
  })

  test('the time moves with the first slot', async () => {
    const [from = 0, to = 0] = cluster.nodes.map(({ port }) => port)
    const store = createStore(cluster)
    await store.time?.()
    const assign = async (port: number) => {
      const id = `${await command(port, 'CLUSTER', 'MYID')}`
      for (const node of [port, ...cluster.nodes.map((each) => each.port)])
        await command(node, 'CLUSTER', 'SETSLOT', '0', 'NODE', id)
    }
    const key = Array.from({ length: 100_000 }, (_, i) => `k${i}`).find((k) => slotOf(k) === 0)
    await store.clear()
    try {
      await assign(to)
      // The client learns the new owner from a redirection.
      await waitUntil('the new owner receives TIME', async () => {
        await store.get(String(key))
        const [, before = 0] = await countTime()
        await store.time?.()
        const [, after = 0] = await countTime()
        return after > before
      })
    } finally {
      await assign(from)
    }
  })

  test('the source of a script is sent with its first call to each master', async () => {
    const store = createStore(cluster)
    const keys = Array.from({ length: 30 }, (_, i) => `sum ${i}`)
    const countEval = async () => {
      const stats = await Promise.all(
        cluster.nodes.map(({ port }) => command(port, 'INFO', 'commandstats')),
      )
      return stats.map((text) => Number(/cmdstat_eval:calls=(\d+)/.exec(`${text}`)?.[1] ?? 0))
    }
    await store.ping()
    for (const { port } of cluster.nodes) await command(port, 'SCRIPT', 'FLUSH')
    const before = await countEval()
    for (let round = 1; round <= 3; round++) {
      const sums = await Promise.all(keys.map((key) => store.increment(key, 1)))
      expect(sums).toEqual(keys.map(() => round))
    }
    expect(await countEval()).toEqual(before.map((count) => count + 1))
    await store.deleteMany(keys)
  })

  test('clear() of a prefix with glob characters deletes exactly its own 10,000 keys', async () => {
    const store = createStore(cluster, { timeout: '10s' })
    await store.clear()
    const cache = new Cache(store, { prefix: 'app[1]*:' })
    const other = new Cache(store, { prefix: 'app1:' })
    const entries = Array.from({ length: 10_000 }, (_, i) => [`key ${i}`, i] as const)
    await Promise.all([cache.setMany(entries), other.setMany(entries)])
    await cache.clear()
    let remaining = 0
    for await (const page of store.scan?.('') ?? []) remaining += page.length
    expect(remaining).toBe(10_000)
    expect(await other.getMany(['key 0', 'key 9999'])).toEqual([0, 9999])
  })

  test.each([
    ['begins', false],
    ['has begun before', true],
  ])(
    'scan() lists a key that moves to a master that it has scanned, in a migration that %s',
    async (_, isBegun) => {
      const store = createStore(cluster)
      await store.clear()
      const ports = cluster.nodes.map(({ port }) => port)
      const ids = await Promise.all(
        ports.map(async (port) => `${await command(port, 'CLUSTER', 'MYID')}`),
      )
      const ownerOf = (key: string) => Math.floor((slotOf(key) * 3) / 16_384)
      const candidates = Array.from({ length: 50 }, (_, i) => `scan ${i}`)
      const keys = [0, 1, 2].map((owner) => candidates.find((key) => ownerOf(key) === owner) ?? '')
      const setSlot = (at: number, key: string, ...state: string[]) =>
        command(ports[at] ?? 0, 'CLUSTER', 'SETSLOT', slotOf(key), ...state)
      /** Each slot migrates to the next master. */
      const begin = async (key: string) => {
        const from = ownerOf(key)
        const to = (from + 1) % 3
        await setSlot(to, key, 'IMPORTING', ids[from] ?? '')
        await setSlot(from, key, 'MIGRATING', ids[to] ?? '')
      }
      await store.setMany(keys.map((key) => [key, 'v'] as const))
      const listed = new Set<string>()
      try {
        if (isBegun) for (const key of keys) await begin(key)
        for await (const page of store.scan?.('scan ') ?? []) {
          for (const key of page) listed.add(key)
          if (listed.size !== 1) continue
          const to = ownerOf([...listed][0] ?? '')
          const key = keys[(to + 2) % 3] ?? ''
          if (!isBegun) await begin(key)
          await command(
            ports[ownerOf(key)] ?? 0,
            ...['MIGRATE', '127.0.0.1', ports[to] ?? 0, key, 0, 5_000],
          )
        }
        expect([...listed].sort()).toEqual([...keys].sort())
      } finally {
        for (const port of ports) await command(port, 'FLUSHALL')
        for (const at of ports.keys()) for (const key of keys) await setSlot(at, key, 'STABLE')
      }
    },
  )

  test('keys are distributed over all nodes', async () => {
    const store = createStore(cluster)
    await store.clear()
    await store.setMany(Array.from({ length: 100 }, (_, i) => [`${i}`, 'v'] as const))
    const client = new ClusterClient(cluster.addresses)
    await new Promise((resolve) => client.once('ready', resolve))
    const sizes = await Promise.all(client.nodes('master').map((node) => node.dbsize()))
    client.disconnect()
    expect(sizes.reduce((sum, size) => sum + size)).toBe(100)
    expect(Math.min(...sizes)).toBeGreaterThan(0)
  })
})

describe('reads from replicas of a cluster', () => {
  let cluster: Cluster

  beforeAll(async () => {
    cluster = await startCluster({ replicasPerPrimary: 1 })
  })
  afterAll(() => cluster.stop())

  const countReplicaReads = async () => {
    const roles = await Promise.all(
      cluster.nodes.map(async ({ port }) => [port, await command(port, 'ROLE')] as const),
    )
    const replicas = roles.filter(([, role]) => (role as string[])[0] === 'slave')
    return countReads(...replicas.map(([port]) => port))
  }
  const waitUntilReplicasServe = (store: ReturnType<typeof redis>) =>
    waitUntil('replicas serve reads', async () => {
      const before = await countReplicaReads()
      await store.getMany(['a', 'b', 'c', 'd'])
      return (await countReplicaReads()) > before
    })

  conform(test, () => createStore(cluster, { readFrom: 'replicaPreferred' }), {
    wait: async (ms) => sleep(ms),
    groups: isFullTier ? undefined : ['read'],
  })

  test('are never older than what was written or observed', async () => {
    const options = { readFrom: 'replica' } as const
    const [store, other] = [createStore(cluster, options), createStore(cluster, options)]
    await Promise.all([waitUntilReplicasServe(store), waitUntilReplicasServe(other)])
    for (let round = 0; round < 100; round++) {
      const entries = Array.from({ length: 10 }, (_, i) => [`key ${i}`, `${round}`] as const)
      await store.setMany(entries)
      const keys = entries.map(([key]) => key)
      expect((await store.getMany(keys)).map(String)).toEqual(keys.map(() => `${round}`))
      other.observe?.((await store.consistencyToken?.()) ?? '')
      expect((await other.getMany(keys)).map(String)).toEqual(keys.map(() => `${round}`))
    }
    await waitUntilReplicasServe(store)
    await store.clear()
    expect(await store.getMany(['key 1', 'key 5'])).toEqual([undefined, undefined])
  })

  test('miss no key while its slot is migrated', async () => {
    const store = createStore(cluster, { readFrom: 'replica' })
    await Promise.all([store.set('{a}1', 'v'), store.set('{a}2', 'v')])
    const slot = (await command(cluster.nodes[0]?.port ?? 0, 'CLUSTER', 'KEYSLOT', '{a}')) as number
    const owner = Math.floor((slot * 3) / 16_384)
    const [from = 0, to = 0] = [owner, (owner + 1) % 3].map((at) => cluster.nodes[at]?.port)
    const fromId = `${await command(from, 'CLUSTER', 'MYID')}`
    const toId = `${await command(to, 'CLUSTER', 'MYID')}`
    const read = async () => {
      for (let round = 0; round < 20; round++) {
        expect(String(await store.get('{a}1'))).toBe('v')
        expect((await store.getMany(['{a}1', '{a}2'])).map(String)).toEqual(['v', 'v'])
        await sleep(5)
      }
    }
    await waitUntilReplicasServe(store)
    await command(to, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId)
    await command(from, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId)
    for (const key of ['{a}1', '{a}2'])
      await command(from, 'MIGRATE', '127.0.0.1', to, key, 0, 5_000)
    await read()
    for (const port of [to, from]) await command(port, 'CLUSTER', 'SETSLOT', slot, 'NODE', toId)
    await read()
  })

  test('and writes of several keys succeed while their slot is migrated', async () => {
    const store = createStore(cluster)
    const keys = Array.from({ length: 20 }, (_, i) => `{m}${i}`)
    await store.setMany(keys.map((key) => [key, 'v'] as const))
    const slot = slotOf('{m}')
    const owner = Math.floor((slot * 3) / 16_384)
    const [from = 0, to = 0] = [owner, (owner + 1) % 3].map((at) => cluster.nodes[at]?.port)
    const fromId = `${await command(from, 'CLUSTER', 'MYID')}`
    const toId = `${await command(to, 'CLUSTER', 'MYID')}`
    await command(to, 'CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId)
    await command(from, 'CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId)
    for (const key of keys.slice(0, 10))
      await command(from, 'MIGRATE', '127.0.0.1', to, key, 0, 5_000)
    try {
      for (const reader of [store, createStore(cluster, { readFrom: 'replica' })]) {
        expect((await reader.getMany(keys)).map(String)).toEqual(keys.map(() => 'v'))
      }
      for (const ttl of [undefined, 60_000]) {
        await store.setMany(
          keys.map((key) => [key, 'new'] as const),
          ttl,
        )
        expect((await store.getMany(keys)).map(String)).toEqual(keys.map(() => 'new'))
      }
      expect(await store.deleteMany(keys.slice(5, 15))).toBe(10)
      await new Cache(store, { prefix: '{m}' }).clear()
      expect(await store.getMany(keys)).toEqual(keys.map(() => undefined))
    } finally {
      for (const port of [to, from]) await command(port, 'CLUSTER', 'SETSLOT', slot, 'NODE', toId)
    }
  })

  test('fall back to the master within the timeout if the replica is frozen', async () => {
    const store = createStore(cluster, { readFrom: 'replica', timeout: '4s' })
    await store.set('b', 'v')
    await waitUntilReplicasServe(store)
    const replica = cluster.nodes[3]
    replica?.kill('SIGSTOP')
    try {
      for (let read = 0; read < 5; read++) {
        const stalls = new Stalls()
        expect(String(await store.get('b'))).toBe('v')
        stalls.stop()
        expect(stalls.runningMs).toBeLessThan(4_400)
      }
    } finally {
      replica?.kill('SIGCONT')
    }
  })

  test('complete before close resolves', async () => {
    const store = createStore(cluster, { readFrom: 'replica', timeout: '5s' })
    await store.set('b', 'v')
    await waitUntilReplicasServe(store)
    const replicas = cluster.nodes.slice(3)
    for (const { kill } of replicas) kill('SIGSTOP')
    const [read, closed] = [store.get('b'), sleep(20).then(() => store.close())]
    await sleep(100)
    for (const { kill } of replicas) kill('SIGCONT')
    expect(String(await read)).toBe('v')
    await closed
  })

  test('use a former master that has become a replica', async () => {
    const store = createStore(cluster, { readFrom: 'replica' })
    const [before = 0, after = 0] = [cluster.nodes[0]?.port, cluster.nodes[3]?.port]
    await store.set('b', 'v')
    await command(after, 'CLUSTER', 'FAILOVER', 'TAKEOVER')
    await waitUntilSucceeds(() => store.set('b', 'v'))
    await waitUntil('the former master serves reads', async () => {
      const reads = await countReads(before)
      await store.get('b')
      const [role] = (await command(before, 'ROLE')) as string[]
      return role === 'slave' && (await countReads(before)) > reads
    })
  })
})

test('an unreachable cluster fails calls with the reason, in bounded time', async () => {
  const store = redis({ clusterNodes: ['127.0.0.1:1'], timeout: '50ms', connectTimeout: '50ms' })
  stores.push(store)
  for (const call of [() => store.get('k'), () => store.clear()]) {
    await expect(call()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  }
})
