import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type FaultProxy, startProxy } from '../scripts/lib/fault-proxy.mjs'
import type { RedisServer } from '../scripts/lib/redis-server.mjs'
import {
  type Cluster,
  command,
  type Replicated,
  type Sentinels,
  startCluster,
  startReplicated,
  startSentinels,
} from '../scripts/lib/redis-topologies.mjs'

const patiently = { timeout: 30_000, interval: 20 }
const roleOf = async (port: number) => ((await command(port, 'ROLE')) as string[])[0]
const infoOf = async (port: number) => `${await command(port, 'INFO')}`

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

function childrenOfThisProcess(): string[] {
  const all = execFileSync('ps', ['-A', '-o', 'ppid=,comm='], { encoding: 'utf8' }).split('\n')
  return all.filter((line) => /redis/.test(line) && Number.parseInt(line, 10) === process.pid)
}

/** The folders under tmpdir that the servers say they use. */
async function foldersOf(servers: RedisServer[]): Promise<string[]> {
  const replies = await Promise.all(
    servers.map(({ port }) => command(port, 'CONFIG', 'GET', 'dir')),
  )
  return replies.map((reply) => (reply as string[])[1] as string)
}

async function expectGone(servers: RedisServer[], folders: string[]): Promise<void> {
  expect(servers.filter(({ pid }) => isAlive(pid))).toEqual([])
  const left = readdirSync(tmpdir())
  expect(folders.filter((folder) => left.some((name) => folder.endsWith(name)))).toEqual([])
}

describe('a command', () => {
  let server: Replicated
  beforeAll(async () => {
    server = await startReplicated({ replicas: 0 })
  })
  afterAll(() => server?.stop())
  const send = (...args: (string | number)[]) => command(server.primary.port, ...args)

  test('resolves to every kind of reply', async () => {
    expect(await send('SET', 'ключ', 'значение\r\n')).toBe('OK')
    expect(await send('GET', 'ключ')).toBe('значение\r\n')
    expect(await send('GET', 'none')).toBeNull()
    expect(await send('INCRBY', 'count', -7)).toBe(-7)
    expect(`${await send('NONSENSE')}`).toMatch(/^Error: ERR unknown command/)
    expect(await send('EVAL', "return {1, {'a', false}, {}, {err='E no'}}", 0)).toEqual([
      1,
      ['a', null],
      [],
      new Error('E no'),
    ])
  })

  test('reads a reply that comes in many pieces', async () => {
    const large = 'x'.repeat(1024 * 1024)
    await send('SET', 'large', large)
    expect(await send('MGET', 'large', 'none', 'large')).toEqual([large, null, large])
  })

  test('rejects where there is no reply', async () => {
    const mean = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
    await vi.waitFor(() => expect(mean.listening).toBe(true))
    const { port } = mean.address() as { port: number }
    await expect(command(port, 'PING')).rejects.toThrow(`PING on port ${port}`)
    await new Promise((resolve) => mean.close(resolve))
    await expect(command(port, 'PING')).rejects.toThrow('ECONNREFUSED')
  })
})

describe('a primary with replicas', () => {
  let topology: Replicated
  beforeAll(async () => {
    topology = await startReplicated({ replicas: 2, args: ['--maxclients', '77'] })
  })
  afterAll(() => topology?.stop())

  test('has its replicas online from the start', async () => {
    const { primary, replicas } = topology
    expect(replicas).toHaveLength(2)
    expect(await infoOf(primary.port)).toMatch(
      /connected_slaves:2\r\n(slave\d.*state=online.*\r\n){2}/,
    )
    await command(primary.port, 'SET', 'key', 'value')
    for (const { port } of replicas) {
      expect(await roleOf(port)).toBe('slave')
      await vi.waitFor(
        async () => expect(await command(port, 'GET', 'key')).toBe('value'),
        patiently,
      )
    }
  })

  test('has the settings on every server', async () => {
    for (const { port } of [topology.primary, ...topology.replicas])
      expect(await command(port, 'CONFIG', 'GET', 'maxclients')).toEqual(['maxclients', '77'])
  })

  test('leaves nothing behind, restarted servers included', async () => {
    const other = await startReplicated({ replicas: 1 })
    await other.replicas[0]?.stop()
    const restarted = (await other.replicas[0]?.restart()) as RedisServer
    expect(restarted.port).toBe(other.replicas[0]?.port)
    const servers = [other.primary, restarted]
    const folders = await foldersOf(servers)
    await Promise.all([other.stop(), other.stop()])
    await expectGone(servers, folders)
  })

  test('leaves nothing behind when a start fails', async () => {
    const before = childrenOfThisProcess()
    let starts = 0
    const replicateThrough = (port: number) => {
      if (++starts === 2) throw new Error('no proxy')
      return port
    }
    await expect(startReplicated({ replicateThrough })).rejects.toThrow('no proxy')
    await expect(startReplicated({ args: ['--nonsense', '1'] })).rejects.toThrow(
      'ended with code 1',
    )
    expect(childrenOfThisProcess()).toEqual(before)
  })

  test('can replicate through a proxy that holds the writes back', async () => {
    const proxies: FaultProxy[] = []
    const replicateThrough = async (port: number) => {
      const proxy = await startProxy(port)
      proxy.delay(100, 'replies')
      proxies.push(proxy)
      return proxy.port
    }
    const delayed = await startReplicated({ replicas: 1, replicateThrough })
    try {
      const [replica] = delayed.replicas as [RedisServer]
      const role = (await command(replica.port, 'ROLE')) as unknown[]
      expect(role[3]).toBe('connected')
      // It has replicated before the start resolved.
      expect(role[4]).toBeGreaterThan(20)
      proxies[0]?.mute(true, 'replies')
      await command(delayed.primary.port, 'SET', 'key', 'value')
      // Without the proxy in between these would be ample time to replicate one key.
      for (let trip = 0; trip < 50; trip++) await command(replica.port, 'PING')
      expect(await command(replica.port, 'GET', 'key')).toBeNull()
      proxies[0]?.mute(false)
      await vi.waitFor(
        async () => expect(await command(replica.port, 'GET', 'key')).toBe('value'),
        patiently,
      )
    } finally {
      await delayed.stop()
      for (const proxy of proxies) await proxy.stop()
    }
  })
})

describe('sentinels', () => {
  let topology: Replicated
  let sentinels: Sentinels
  beforeAll(async () => {
    topology = await startReplicated()
    sentinels = await startSentinels({ replicated: topology, name: 'main' })
  })
  afterAll(async () => {
    await sentinels?.stop()
    await topology?.stop()
  })

  test('know the primary, the replicas and each other from the start', async () => {
    expect(sentinels.addresses).toEqual(
      sentinels.ports.map((port) => ({ host: '127.0.0.1', port })),
    )
    for (const port of sentinels.ports) {
      expect(await command(port, 'SENTINEL', 'CKQUORUM', 'main')).toMatch(/^OK 3 usable/)
      expect(await infoOf(port)).toContain(
        `name=main,status=ok,address=127.0.0.1:${topology.primary.port},slaves=2,sentinels=3`,
      )
    }
    const { port } = topology.primary
    expect(await sentinels.currentPrimary()).toEqual({ host: '127.0.0.1', port })
  })

  test('promote a replica when told to', async () => {
    const promoted = await sentinels.failover()
    expect(topology.replicas.map(({ port }) => port)).toContain(promoted.port)
    expect(await roleOf(promoted.port)).toBe('master')
    expect(await sentinels.currentPrimary()).toEqual(promoted)
  })

  test('promote a replica when the primary hangs', async () => {
    const before = await sentinels.currentPrimary()
    const servers = [topology.primary, ...topology.replicas]
    const hung = servers.find(({ port }) => port === before.port) as RedisServer
    hung.kill('SIGSTOP')
    const changed = async () =>
      expect((await sentinels.currentPrimary()).port).not.toBe(before.port)
    await vi.waitFor(changed, patiently)
    hung.kill('SIGCONT')
  })

  test('agree also when one of them is gone, and leave nothing behind', async () => {
    const folders = await foldersOf(topology.replicas)
    await sentinels.servers[0]?.stop()
    expect((await sentinels.currentPrimary()).port).toBeGreaterThan(0)
    await sentinels.stop()
    await topology.stop()
    await expectGone([...sentinels.servers, topology.primary, ...topology.replicas], folders)
    expect(childrenOfThisProcess()).toEqual([])
  })
})

describe('a cluster', () => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await startCluster({ replicasPerMaster: 1, nodeTimeoutMs: 1_000 })
  })
  afterAll(() => cluster?.stop())

  test('is known to every node in full from the start', async () => {
    expect(cluster.addresses).toEqual(
      cluster.nodes.map(({ port }) => ({ host: '127.0.0.1', port })),
    )
    for (const { port } of cluster.nodes) {
      const info = await command(port, 'CLUSTER', 'INFO')
      expect(info).toMatch(
        /cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384/,
      )
      expect(info).toMatch(/cluster_known_nodes:6\r\ncluster_size:3/)
    }
  })

  test('has the masters first, then their replicas in order', async () => {
    const roles = await Promise.all(cluster.nodes.map(({ port }) => roleOf(port)))
    expect(roles).toEqual(['master', 'master', 'master', 'slave', 'slave', 'slave'])
    const ranges = (await command(
      cluster.nodes[0]?.port as number,
      'CLUSTER',
      'SLOTS',
    )) as unknown[]
    const ports = cluster.nodes.map(({ port }) => port)
    const nodeOf = (port: unknown) => ['127.0.0.1', port, expect.any(String), []]
    expect(ranges).toEqual([
      [0, 5461, nodeOf(ports[0]), nodeOf(ports[3])],
      [5462, 10922, nodeOf(ports[1]), nodeOf(ports[4])],
      [10923, 16383, nodeOf(ports[2]), nodeOf(ports[5])],
    ])
  })

  test('serves a key at its node and redirects at the others', async () => {
    // Slot 15495.
    const [first, , third] = cluster.addresses.map(({ port }) => port) as [number, number, number]
    expect(await command(third, 'SET', 'a', 'value')).toBe('OK')
    expect(await command(first, 'GET', 'a')).toEqual(new Error(`MOVED 15495 127.0.0.1:${third}`))
  })

  test('promotes the replica of a master that has died', async () => {
    await cluster.nodes[0]?.stop()
    const promoted = cluster.nodes[3]?.port as number
    await vi.waitFor(async () => expect(await roleOf(promoted)).toBe('master'), patiently)
    const state = async () => command(promoted, 'CLUSTER', 'INFO')
    await vi.waitFor(async () => expect(await state()).toContain('cluster_state:ok'), patiently)
  })

  test('leaves nothing behind', async () => {
    const folders = await foldersOf(cluster.nodes.slice(1))
    await cluster.stop()
    await expectGone(cluster.nodes, folders)
  })

  test('leaves nothing behind when its start fails', async () => {
    const before = childrenOfThisProcess()
    await expect(startCluster({ args: ['--nonsense', '1'] })).rejects.toThrow('ended with code 1')
    expect(childrenOfThisProcess()).toEqual(before)
  })
})
