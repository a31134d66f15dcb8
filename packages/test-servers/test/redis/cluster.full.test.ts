import { type Cluster, command, startCluster } from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { childServers, expectGone, foldersOf } from './leftovers.ts'

const patiently = { timeout: 30_000, interval: 20 }
const roleOf = async (port: number) => ((await command(port, 'ROLE')) as string[])[0]

describe('a cluster', () => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await startCluster({ replicasPerPrimary: 1 })
  })
  afterAll(() => cluster?.stop())

  test('is complete on every node from the start', async () => {
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

  test('lists the primaries first, then their replicas in order', async () => {
    const roles = await Promise.all(cluster.nodes.map(({ port }) => roleOf(port)))
    expect(roles).toEqual(['master', 'master', 'master', 'slave', 'slave', 'slave'])
    const ports = cluster.nodes.map(({ port }) => port)
    const ranges = await command(ports[0] as number, 'CLUSTER', 'SLOTS')
    const node = (port: unknown) => ['127.0.0.1', port, expect.any(String), []]
    expect(ranges).toEqual([
      [0, 5461, node(ports[0]), node(ports[3])],
      [5462, 10922, node(ports[1]), node(ports[4])],
      [10923, 16383, node(ports[2]), node(ports[5])],
    ])
  })

  test('serves a key on its node and redirects on the others', async () => {
    // Slot 15495.
    const [first, , third] = cluster.addresses.map(({ port }) => port) as [number, number, number]
    expect(await command(third, 'SET', 'a', 'value')).toBe('OK')
    expect(await command(first, 'GET', 'a')).toEqual(new Error(`MOVED 15495 127.0.0.1:${third}`))
  })

  test('promotes the replica of a stopped primary', async () => {
    await cluster.nodes[0]?.stop()
    const promoted = cluster.nodes[3]?.port as number
    await vi.waitFor(async () => expect(await roleOf(promoted)).toBe('master'), patiently)
    const state = async () => command(promoted, 'CLUSTER', 'INFO')
    await vi.waitFor(async () => expect(await state()).toContain('cluster_state:ok'), patiently)
  })

  test('leaves nothing behind after a stop', async () => {
    const folders = await foldersOf(cluster.nodes.slice(1))
    await cluster.stop()
    expectGone(cluster.nodes, folders)
  })

  test('leaves nothing behind after a failed start', async () => {
    const before = childServers()
    await expect(startCluster({ args: ['--nonsense', '1'] })).rejects.toThrow('exited with code 1')
    expect(childServers()).toEqual(before)
  })
})
