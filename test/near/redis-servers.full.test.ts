import { setTimeout as sleep } from 'node:timers/promises'
import { Cache } from '@stowage/core'
import { redis } from '@stowage/redis'
import {
  command,
  type FaultProxy,
  startProxy,
  startRedis,
  startReplicated,
} from '@stowage/test-servers'
import { test } from 'vitest'
import { machineTime } from '../remember/processes/machine-time.mjs'
import type { Call } from './judge.ts'
import { expectFreshReads, nearKeys, redisBehindProxy, ttlMs } from './near-processes.ts'

const fixture = redisBehindProxy()

test.each(['tracking', 'pubsub'] as const)(
  'bus %s: FLUSHALL while entries are read',
  async (bus) => {
    const { url, port } = fixture.redis
    await expectFreshReads({ driver: 'redis', options: { url }, bus, busUrl: url }, async () => {
      const flushes: Call[] = []
      for (let i = 0; i < 10; i++) {
        await sleep(150)
        flushes.push(await recorded(undefined, undefined, () => command(port, 'FLUSHALL')))
      }
      await sleep(ttlMs)
      return flushes
    })
  },
)

test('FLUSHALL while the replies to reads are on their way: tracking drops what they return', async () => {
  const { redis: server, proxy } = fixture
  const cache = new Cache(redis({ url: server.url, timeout: '20s' }), { prefix: 'near:' })
  // The invalidations overtake the replies.
  proxy.delay(50, 'replies')
  const setup = {
    driver: 'redis',
    options: { url: proxy.url },
    bus: 'tracking',
    busUrl: server.url,
  } as const
  await expectFreshReads({ ...setup, writers: 0, ttl: 60_000, boundMs: 1_500 }, async () => {
    const writes: Call[] = []
    for (let round = 0; round < 4; round++) {
      for (const key of nearKeys) {
        const value = `${round}-${key}`
        writes.push(await recorded(key, value, () => cache.set(key, value)))
      }
      await sleep(100 + Math.random() * 100)
      writes.push(await recorded(undefined, undefined, () => command(server.port, 'FLUSHALL')))
      await sleep(2_000)
    }
    return writes
  })
  proxy.delay(0)
  await cache.close()
})

test.each(['tracking', 'pubsub'] as const)('bus %s: the server restarts', async (bus) => {
  let server = await startRedis()
  fixture.stops.push(() => server.stop())
  const setup = { driver: 'redis', options: { url: server.url }, bus, busUrl: server.url }
  await expectFreshReads(setup, async () => {
    await sleep(500)
    await server.stop()
    await sleep(300)
    server = await server.restart()
    await sleep(1_500)
    return []
  })
})

test.each(['tracking', 'pubsub'] as const)(
  'bus %s: replicas that lag behind by more than the bound',
  async (bus) => {
    const links: FaultProxy[] = []
    const { primary, replicas, stop } = await startReplicated({
      replicas: 2,
      replicateThrough: async (port) => {
        const link = await startProxy(port)
        links.push(link)
        return link.port
      },
    })
    fixture.stops.push(stop, ...links.map((link) => () => link.stop()))
    const options = { url: primary.url, replicas: replicas.map(({ port }) => `127.0.0.1:${port}`) }
    const setup = { driver: 'redis', options, bus, busUrl: primary.url }
    // The processes that do not write read from replicas, except what the near cache keeps.
    await expectFreshReads(
      { ...setup, hasLag: true, writers: 2, ttl: 3_000, boundMs: 1_500 },
      async () => {
        for (const link of links) link.delay(3_000)
        await sleep(5_000)
        for (const link of links) link.delay(0)
        return []
      },
    )
  },
)

async function recorded(
  key: string | undefined,
  value: string | undefined,
  write: () => Promise<unknown>,
): Promise<Call> {
  const start = machineTime()
  await write()
  const end = machineTime()
  return { op: 'write', process: 'test', key, value, start, end, isAcknowledged: true }
}
