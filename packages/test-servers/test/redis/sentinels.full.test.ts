import {
  command,
  type RedisServer,
  type Replicated,
  type Sentinels,
  startReplicated,
  startSentinels,
} from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { childServers, expectGone, foldersOf } from './leftovers.ts'

describe('Sentinels', () => {
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

  test('have found the primary, the replicas and each other from the start', async () => {
    expect(sentinels.addresses).toEqual(
      sentinels.ports.map((port) => ({ host: '127.0.0.1', port })),
    )
    for (const port of sentinels.ports) {
      expect(await command(port, 'SENTINEL', 'CKQUORUM', 'main')).toMatch(/^OK 3 usable/)
      expect(await command(port, 'INFO')).toContain(
        `name=main,status=ok,address=127.0.0.1:${topology.primary.port},slaves=2,sentinels=3`,
      )
    }
    const { port } = topology.primary
    expect(await sentinels.currentPrimary()).toEqual({ host: '127.0.0.1', port })
  })

  test('promote a replica on failover()', async () => {
    const promoted = await sentinels.failover()
    expect(topology.replicas.map(({ port }) => port)).toContain(promoted.port)
    expect(await command(promoted.port, 'ROLE')).toMatchObject({ 0: 'master' })
    expect(await sentinels.currentPrimary()).toEqual(promoted)
  })

  test('promote a replica when the primary hangs', async () => {
    const before = await sentinels.currentPrimary()
    const servers = [topology.primary, ...topology.replicas]
    const primary = servers.find(({ port }) => port === before.port) as RedisServer
    primary.kill('SIGSTOP')
    const expectFailover = async () =>
      expect((await sentinels.currentPrimary()).port).not.toBe(before.port)
    await vi.waitFor(expectFailover, { timeout: 30_000, interval: 20 })
    primary.kill('SIGCONT')
  })

  test('agree on the primary when one of them is stopped, and leave nothing behind', async () => {
    const folders = await foldersOf(topology.replicas)
    await sentinels.servers[0]?.stop()
    expect((await sentinels.currentPrimary()).port).toBeGreaterThan(0)
    await sentinels.stop()
    await topology.stop()
    expectGone([...sentinels.servers, topology.primary, ...topology.replicas], folders)
    expect(childServers()).toEqual([])
  })
})
