import {
  type CacheStore,
  channels,
  type RequestEvent,
  type TopologyEvent,
  tracing,
} from '@stowage/core'
import { memcached } from '@stowage/memcached'
import { redis } from '@stowage/redis'
import { metrics } from '@stowage/telemetry/prometheus'
import {
  type RedisServer,
  startMemcached,
  startRedis,
  startReplicated,
} from '@stowage/test-servers'
import { afterEach, expect, test, vi } from 'vitest'

const patient = { timeout: 30_000 }
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean()
})

/** The changes of the topology from now on, as `change server`. */
function changes(): string[] {
  const seen: string[] = []
  const listener = (event: unknown) => {
    const { store, change, server } = event as TopologyEvent
    seen.push(`${store} ${change} ${server}`)
  }
  channels.topology.subscribe(listener)
  cleanups.push(() => channels.topology.unsubscribe(listener))
  return seen
}

async function waitForReply(store: CacheStore): Promise<void> {
  await vi.waitFor(async () => store.get('k'), patient)
}

test('Redis: a connection that is established, lost and established again', async () => {
  const seen = changes()
  const server = await startRedis()
  const store = redis({ url: server.url, timeout: '20s' })
  cleanups.push(() => store.close())
  await store.get('k')
  const address = `127.0.0.1:${server.port}`
  expect(seen).toEqual([`redis connected ${address}`])
  await server.stop()
  await expect.poll(() => seen).toContain(`redis lost ${address}`)
  const restarted = await startRedis({ port: server.port })
  cleanups.push(() => restarted.stop())
  await waitForReply(store)
  expect(seen.at(-1)).toBe(`redis reconnected ${address}`)
})

test('Memcached: a node that is connected, lost, down and up again', async () => {
  const seen = changes()
  const server = await startMemcached()
  const store = memcached({ servers: [server.address], timeout: '20s' })
  cleanups.push(() => store.close())
  await store.get('k')
  expect(seen).toEqual([`memcached connected ${server.address}`])
  await server.stop()
  await vi.waitFor(async () => {
    await Promise.resolve(store.get('k')).catch(() => {})
    expect(seen).toContain(`memcached down ${server.address}`)
  }, patient)
  expect(seen).toContain(`memcached lost ${server.address}`)
  const restarted = await startMemcached({ port: server.port })
  cleanups.push(() => restarted.stop())
  await waitForReply(store)
  expect(seen.at(-1)).toBe(`memcached up ${server.address}`)
})

test('Redis: the state of a replica, until it is removed', async () => {
  const { primary, replicas, stop: stopServers } = await startReplicated({ replicas: 1 })
  const [replica] = replicas as [RedisServer]
  const server = `127.0.0.1:${replica.port}`
  const { collector, render, stop } = metrics()
  const store = redis({ url: primary.url, replicas: [server], readFrom: 'replica', timeout: '20s' })
  cleanups.push(stopServers, () => store.close(), stop)
  const labels = `{driver="redis",server="${server}"}`
  await store.set('k', 'v')
  await vi.waitFor(async () => {
    await store.get('k')
    expect(render()).toContain(`stowage_replica_linked${labels} 1`)
    expect(render()).toMatch(new RegExp(`stowage_replica_lag_bytes${labels} \\d`))
  }, patient)
  await replica.stop()
  await vi.waitFor(() => {
    expect(render()).toContain(`stowage_replica_linked${labels} 0`)
    expect(render()).not.toContain('stowage_replica_lag_bytes{')
  }, patient)
  const removed: TopologyEvent = { store: 'redis', change: 'removed', server }
  channels.topology.publish(removed)
  expect(collector.replicaLinks.size).toBe(0)
})

test('requests have the server, the number of keys and the attempt', async () => {
  const requests: RequestEvent[] = []
  const listener = (event: unknown) => void requests.push(event as RequestEvent)
  tracing.store.asyncEnd.subscribe(listener)
  cleanups.push(() => tracing.store.asyncEnd.unsubscribe(listener))
  const [first, second] = await Promise.all([startRedis(), startMemcached()])
  const stores = [
    redis({ url: first.url, timeout: '20s' }),
    memcached({ servers: [second.address], timeout: '20s' }),
  ]
  cleanups.push(
    () => first.stop(),
    () => second.stop(),
    ...stores.map((store) => () => store.close()),
  )
  for (const store of stores) await store.getMany(['a', 'b', 'c'])
  const read = { operation: 'getMany', keyCount: 3, attempt: 1, isInstrumented: false }
  expect(requests).toMatchObject([
    { ...read, store: 'redis', server: `127.0.0.1:${first.port}` },
    { ...read, store: 'memcached', server: second.address },
  ])
})
