import {
  command,
  type FaultProxy,
  type RedisServer,
  type Replicated,
  startProxy,
  startReplicated,
} from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { childServers, expectGone, foldersOf } from './leftovers.ts'

const patiently = { timeout: 30_000, interval: 20 }

async function expectValue(port: number, key: string, value: string): Promise<void> {
  await vi.waitFor(async () => expect(await command(port, 'GET', key)).toBe(value), patiently)
}

describe('a primary with replicas', () => {
  let topology: Replicated
  beforeAll(async () => {
    topology = await startReplicated({ replicas: 2, args: ['--maxclients', '77'] })
  })
  afterAll(() => topology?.stop())

  test('has its replicas online from the start', async () => {
    const { primary, replicas } = topology
    expect(replicas).toHaveLength(2)
    expect(await command(primary.port, 'INFO')).toMatch(
      /connected_slaves:2\r\n(slave\d.*state=online.*\r\n){2}/,
    )
    await command(primary.port, 'SET', 'key', 'value')
    for (const { port } of replicas) {
      expect(await command(port, 'ROLE')).toMatchObject({ 0: 'slave' })
      await expectValue(port, 'key', 'value')
    }
  })

  test('applies the settings to every server', async () => {
    for (const { port } of [topology.primary, ...topology.replicas])
      expect(await command(port, 'CONFIG', 'GET', 'maxclients')).toEqual(['maxclients', '77'])
  })

  test('can replicate through a proxy that holds back writes', async () => {
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
      // The start resolves after the replica has received data.
      expect(role[4]).toBeGreaterThan(20)
      proxies[0]?.mute(true, 'replies')
      await command(delayed.primary.port, 'SET', 'key', 'value')
      // Without the proxy, this would be ample time to replicate one key.
      for (let trip = 0; trip < 50; trip++) await command(replica.port, 'PING')
      expect(await command(replica.port, 'GET', 'key')).toBeNull()
      proxies[0]?.mute(false)
      await expectValue(replica.port, 'key', 'value')
    } finally {
      await delayed.stop()
      for (const proxy of proxies) await proxy.stop()
    }
  })
})

describe('nothing is left behind', () => {
  test('after a stop, also of a restarted server', async () => {
    const topology = await startReplicated({ replicas: 1 })
    const [replica] = topology.replicas as [RedisServer]
    await replica.stop()
    const restarted = await replica.restart()
    expect(restarted.port).toBe(replica.port)
    const servers = [topology.primary, restarted]
    const folders = await foldersOf(servers)
    await Promise.all([topology.stop(), topology.stop()])
    expectGone(servers, folders)
  })

  test('after a failed start', async () => {
    const before = childServers()
    let starts = 0
    const replicateThrough = (port: number) => {
      if (++starts === 2) throw new Error('no proxy')
      return port
    }
    await expect(startReplicated({ replicateThrough })).rejects.toThrow('no proxy')
    await expect(startReplicated({ args: ['--nonsense', '1'] })).rejects.toThrow(
      'exited with code 1',
    )
    expect(childServers()).toEqual(before)
  })
})
