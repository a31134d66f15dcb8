import type { Cluster, Redis } from 'ioredis'
import { expect, test, vi } from 'vitest'
import { InjectedTopology } from '../../src/topology/injected-topology.ts'

const keys = ['{a}1', '{b}1', '{a}2']
const groups = [['{a}1', '{a}2'], ['{b}1']]

function node(host: string): Redis {
  const cluster = async () => `id ${host}:1@2 myself,master - 0 0 1 connected 0-9`
  return { options: { host, port: 1 }, cluster, getBuffer() {} } as unknown as Redis
}

/** A cluster client of the application, which knows its nodes once it has executed a command. */
function clusterClient() {
  const [a, b] = [node('a'), node('b')]
  const slots: string[][] = []
  const masters: Redis[] = []
  const ping = vi.fn(async () => {
    await null
    slots.splice(0, Infinity, ['b:1'])
    masters.splice(0, Infinity, a, b)
  })
  const nodes = (role: string) => (role === 'master' ? masters : [])
  const client = { options: {}, slots, nodes, ping, getBuffer() {} } as unknown as Cluster
  return { topology: new InjectedTopology(client), ping }
}

test('a client of one server is used for everything', async () => {
  const topology = new InjectedTopology(node('a') as never)
  const connection = topology.primary()
  expect(await topology.primaries()).toEqual([connection])
  expect(await topology.clockServer()).toBe(connection)
  expect(await topology.slotLayout()).toBeUndefined()
  expect([topology.writeGroups(keys), topology.readGroups(keys)]).toEqual([[keys], [keys]])
})

test('a cluster client executes a command before its masters are listed', async () => {
  const { topology } = clusterClient()
  const primaries = await topology.primaries()
  expect(primaries.map(({ address }) => address)).toEqual(['a:1', 'b:1'])
})

test('the clock is that of the master of the first slot, which a command makes known', async () => {
  const { topology, ping } = clusterClient()
  for (let reads = 0; reads < 2; reads++) {
    expect((await topology.clockServer()).address).toBe('b:1')
  }
  expect(ping).toHaveBeenCalledTimes(1)
})

test('the slots and groups of keys are those of the cluster', async () => {
  const { topology } = clusterClient()
  expect(await topology.slotLayout()).toEqual({ text: '0-9\n0-9', isMigrating: false })
  expect([topology.writeGroups(keys), topology.readGroups(keys)]).toEqual([groups, groups])
})

test('close waits for the commands on all masters', async () => {
  const { topology } = clusterClient()
  const [, second] = await topology.primaries()
  second?.beginCommand()
  let hasClosed = false
  const closed = topology.close().then(() => {
    hasClosed = true
  })
  await new Promise(setImmediate)
  expect(hasClosed).toBe(false)
  second?.endCommand()
  await closed
})
