import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CacheStore } from '@stowage/core'
import { memcached } from '@stowage/memcached'
import { redis } from '@stowage/redis'
import {
  startMemcached,
  startProxy,
  startRedis,
  startReplicated,
  startSentinels,
} from '@stowage/test-servers'
import { expect, onTestFinished, test } from 'vitest'
import { Load } from './cases/load.ts'

const outageMs = 1_500
/** For how long after an outage requests may fail: connections are opened again with increasing delays. */
const recoveryMs = 6_000
const timeout = 60_000

/** Runs 200 requests per second before, during and after an outage. */
async function survive(store: CacheStore, outage: () => Promise<unknown>): Promise<Load> {
  const load = await Load.start(store)
  onTestFinished(() => load.stop())
  const running = load.run()
  await sleep(1_000)
  const beganAt = performance.now()
  await outage()
  const endedAt = performance.now()
  await sleep(recoveryMs + 1_000)
  await load.end()
  await running
  const unexpected = load.failures.filter(
    (each) => each.endedAt < beganAt || each.beganAt > endedAt + recoveryMs,
  )
  expect(unexpected).toEqual([])
  expect(load.failures.filter(({ reason }) => !reason.startsWith('ERR_CACHE_'))).toEqual([])
  expect(load.clients.length).toBeGreaterThan(20)
  return load
}

async function expectSessions(load: Load): Promise<void> {
  for (const client of load.clients) {
    expect(await load.read(client)).toBeGreaterThanOrEqual(client.acknowledged)
  }
}

/** Redis that has stored each acknowledged write on disk. */
async function startDurableRedis() {
  const dir = await mkdtemp(join(tmpdir(), 'stowage-redis-'))
  onTestFinished(() => rm(dir, { recursive: true, force: true }))
  const args = ['--appendonly', 'yes', '--appendfsync', 'always', '--dir', dir]
  const server = await startRedis({ args })
  onTestFinished(() => server.stop())
  return server
}

const freeze = async (server: { kill(signal: NodeJS.Signals): void }) => {
  server.kill('SIGSTOP')
  await sleep(outageMs)
  server.kill('SIGCONT')
}

test(
  'Redis is killed and restarted: no acknowledged session is lost',
  async () => {
    const server = await startDurableRedis()
    const load = await survive(redis({ url: server.url, timeout: '1s' }), async () => {
      await server.stop()
      await sleep(outageMs)
      const restarted = await server.restart()
      onTestFinished(() => restarted.stop())
    })
    expect(load.failures.length).toBeGreaterThan(0)
    await expectSessions(load)
  },
  timeout,
)

test(
  'Redis is frozen: no request hangs, and no acknowledged session is lost',
  async () => {
    const server = await startDurableRedis()
    const store = redis({ url: server.url, timeout: '1s' })
    await expectSessions(await survive(store, () => freeze(server)))
  },
  timeout,
)

test(
  'one of three memcached nodes is frozen: no request hangs, and no acknowledged session is lost',
  async () => {
    const nodes = await Promise.all([startMemcached(), startMemcached(), startMemcached()])
    onTestFinished(async () => void (await Promise.all(nodes.map((node) => node.stop()))))
    const store = memcached({ servers: nodes.map(({ address }) => address), timeout: '1s' })
    const [node] = nodes
    await expectSessions(await survive(store, () => freeze(node)))
  },
  timeout,
)

test(
  'the primary is killed and Sentinel promotes a replica: no acknowledged session is lost, and a logout is final',
  async () => {
    const replicated = await startReplicated()
    onTestFinished(replicated.stop)
    const sentinels = await startSentinels({ replicated })
    onTestFinished(sentinels.stop)
    const addresses = sentinels.addresses.map(({ host, port }) => `${host}:${port}`)
    const store = redis({ sentinels: addresses, waitReplicas: 1, timeout: '1s' })
    const load = await survive(store, async () => {
      const before = replicated.primary.port
      await replicated.primary.stop()
      await expect
        .poll(async () => (await sentinels.currentPrimary()).port, { timeout: 20_000 })
        .not.toBe(before)
    })
    await expectSessions(load)
    const loggedOut = load.clients.slice(0, 10)
    for (const client of loggedOut) await load.logOut(client)
    await sentinels.failover()
    for (const client of loggedOut) {
      const read = () => load.read(client).catch(String)
      await expect.poll(read, { timeout: 10_000 }).toBe(undefined)
    }
  },
  timeout,
)

test(
  'replicas one second behind: a login can be read by the next request, and a logout is final',
  async () => {
    const proxies: Awaited<ReturnType<typeof startProxy>>[] = []
    const replicated = await startReplicated({
      replicateThrough: async (port) => {
        const proxy = await startProxy(port)
        proxies.push(proxy)
        return proxy.port
      },
    })
    onTestFinished(replicated.stop)
    for (const proxy of proxies) proxy.delay(1_000, 'replies')
    const options = {
      url: replicated.primary.url,
      replicas: replicated.replicas.map(({ port }) => `127.0.0.1:${port}`),
      readFrom: 'replicaPreferred',
    } as const
    const loads = await Promise.all([Load.start(redis(options)), Load.start(redis(options))])
    onTestFinished(async () => void (await Promise.all(loads.map((load) => load.stop()))))
    const [one, two] = loads as [Load, Load]
    for (let n = 1; n < 20; n++) {
      const response = await fetch(`${one.url}/write/${n}`)
      const cookie = String(response.headers.getSetCookie()[0]).split(';')[0] as string
      const client = { cookie, acknowledged: n, isWriting: false }
      expect(await two.read(client)).toBe(n)
      await two.logOut(client)
      expect(await one.read(client)).toBeUndefined()
      expect(await two.read(client)).toBeUndefined()
    }
  },
  timeout,
)
