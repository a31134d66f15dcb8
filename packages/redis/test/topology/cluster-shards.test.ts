import type { Replica, ReplicationTracker } from '@stowage/core/internal'
import { describe, expect, test, vi } from 'vitest'
import type { ClusterConnection } from '../../src/connection/cluster/cluster-connection.ts'
import type { Connection } from '../../src/connection/connection.ts'
import type { ReadFrom } from '../../src/redis-options.ts'
import { ClusterShards } from '../../src/topology/cluster-shards.ts'
import { FakeConnection, infoOf } from './fake-connection.ts'

const master = infoOf({ role: 'master' })

/** The shards of a client whose table of slots and nodes a test determines. */
function setUp({ readFrom = 'replica', areConnected = true } = {}) {
  const slots: string[][] = []
  const nodes = new Map<string, object>()
  const created: FakeConnection[] = []
  const connectionTo = (node: object) => {
    const connection = new FakeConnection(node)
    connection.isConnected = areConnected
    created.push(connection)
    return connection
  }
  let refreshed = () => {}
  const refreshSlots = vi.fn()
  const connection = {
    slots,
    nodes: () => nodes,
    connectionTo,
    connectionToReplica: connectionTo,
    refreshSlots,
    onSlotsRefreshed(listener: () => void) {
      refreshed = listener
    },
  } as unknown as ClusterConnection
  const tracker = { requireCatchUp: vi.fn(), poll: vi.fn(), reset: vi.fn() }
  const replicas: Replica<Connection>[] = []
  const shards = new ClusterShards(
    connection,
    replicas,
    readFrom as ReadFrom,
    tracker as unknown as ReplicationTracker<Connection>,
  )
  /** What the client knows after it has refreshed its table: one list of addresses for each slot, the master first. */
  const refresh = (...layout: string[][]) => {
    for (const address of layout.flat()) {
      if (!nodes.has(address)) nodes.set(address, { address })
    }
    refreshUnknown(...layout)
  }
  /** The same if the client has no connections to some of the nodes. */
  const refreshUnknown = (...layout: string[][]) => {
    slots.splice(0, Infinity, ...layout)
    refreshed()
  }
  /** The connections that were created to a node. */
  const connectionsTo = (address: string) =>
    created.filter(({ node }) => (node as { address: string }).address === address)
  const replicasOf = (slot: number) =>
    shards
      .shardOf(slot)
      ?.replicas.map(({ connection: each }) => (each as unknown as FakeConnection).node) as
      | { address: string }[]
      | undefined
  const addressesOf = (slot: number) => replicasOf(slot)?.map(({ address }) => address)
  const events = { refreshSlots, requireCatchUp: tracker.requireCatchUp, reset: tracker.reset }
  return {
    shards,
    replicas,
    slots,
    nodes,
    refresh,
    refreshUnknown,
    connectionsTo,
    addressesOf,
    ...events,
  }
}

test('the replicas of a former master are not used after a redirection to another one', () => {
  const { shards, slots, refresh, addressesOf } = setUp()
  refresh(['a:1', 'b:2'])
  expect(addressesOf(0)).toEqual(['b:2'])
  // What the client does with a redirection: it does not know the replicas of the other master.
  slots[0] = ['c:3']
  expect(shards.shardOf(0)).toBeUndefined()
  refresh(['c:3', 'd:4'])
  expect(addressesOf(0)).toEqual(['d:4'])
})

test.each([
  ['replica', 'b:2'],
  ['primary', 'a:1'],
])('reads from %s are sent to %s', async (readFrom, expected) => {
  const { shards, refresh, connectionsTo } = setUp({ readFrom })
  refresh(['a:1', 'b:2'])
  for (const connection of connectionsTo('a:1')) connection.info = master
  await shards.checkHealth()
  const reader = shards.shardOf(0)?.group.reader(['k'], 'eventual')
  expect((reader as unknown as FakeConnection).node).toEqual({ address: expected })
})

describe('the shards', () => {
  test('are those of all slots, and their replicas are listed once', () => {
    const { shards, refresh, replicas, addressesOf } = setUp()
    refresh(['a:1', 'b:2'], ['a:1', 'b:2'], ['c:3', 'd:4', 'e:5'])
    expect(shards.shardOf(0)).toBe(shards.shardOf(1))
    expect([addressesOf(1), addressesOf(2)]).toEqual([['b:2'], ['d:4', 'e:5']])
    expect(replicas).toHaveLength(3)
  })

  test('remain while their nodes have the same names, with the clients that the nodes have now', () => {
    const { shards, nodes, refresh, connectionsTo } = setUp()
    refresh(['a:1', 'b:2'])
    const shard = shards.shardOf(0)
    for (const address of ['a:1', 'b:2']) nodes.set(address, { address, isNew: true })
    refresh(['a:1', 'b:2'])
    expect([shards.shardOf(0), shard?.replicas.length]).toEqual([shard, 1])
    expect(shard?.primary.node).toEqual({ address: 'a:1', isNew: true })
    expect(connectionsTo('b:2').map(({ node }) => node)).toEqual([{ address: 'b:2', isNew: true }])
  })

  test('remain while the master is unreachable, with the client that it had', () => {
    const { shards, nodes, refresh, refreshUnknown } = setUp()
    refresh(['a:1', 'b:2'])
    const shard = shards.shardOf(0)
    nodes.delete('a:1')
    refreshUnknown(['a:1', 'b:2'])
    expect(shards.shardOf(0)).toBe(shard)
    expect(shard?.primary.node).toEqual({ address: 'a:1' })
  })

  test('of a slot without a known master do not exist', () => {
    const { shards, nodes, refreshUnknown, replicas } = setUp()
    nodes.set('b:2', { address: 'b:2' })
    refreshUnknown(['a:1', 'b:2'])
    expect([shards.shardOf(0), replicas]).toEqual([undefined, []])
  })

  test('have no replica that the client does not know', () => {
    const { nodes, refreshUnknown, addressesOf } = setUp()
    nodes.set('a:1', { address: 'a:1' })
    refreshUnknown(['a:1', 'b:2'])
    expect(addressesOf(0)).toEqual([])
  })
})

describe('a change of the slots', () => {
  test('makes replicas catch up before they serve reads', () => {
    const { refresh, requireCatchUp } = setUp()
    refresh(['a:1', 'b:2'], ['a:1', 'b:2'], ['c:3', 'd:4'])
    expect(requireCatchUp).toHaveBeenCalledTimes(1)
    refresh(['a:1', 'b:2'], ['a:1', 'b:2'], ['c:3', 'd:4'])
    expect(requireCatchUp).toHaveBeenCalledTimes(1)
    // One of the slots has moved.
    refresh(['a:1', 'b:2'], ['c:3', 'd:4'], ['c:3', 'd:4'])
    expect(requireCatchUp).toHaveBeenCalledTimes(2)
  })

  test('does not open the connections to replicas again, also if they follow another master', () => {
    const { refresh, connectionsTo, addressesOf, replicas, reset } = setUp()
    refresh(['a:1', 'b:2'])
    refresh(['c:3', 'b:2', 'a:1'])
    expect(addressesOf(0)).toEqual(['b:2', 'a:1'])
    const [connection, ...others] = connectionsTo('b:2')
    expect([connection?.listeners, others]).toEqual([1, []])
    // Its state is that of the replica in the new shard.
    connection?.change(false)
    expect(reset.mock.calls).toEqual([[replicas[0]]])
  })

  test('forgets removed replicas, whose connections change nothing any more', () => {
    const { refresh, connectionsTo, replicas } = setUp()
    refresh(['a:1', 'b:2', 'c:3'])
    refresh(['a:1', 'b:2'])
    expect(replicas).toHaveLength(1)
    refresh(['a:1', 'b:2', 'c:3'])
    expect([connectionsTo('b:2').length, connectionsTo('c:3').length]).toEqual([1, 2])
  })
})

describe('a new replica', () => {
  test.each([
    ['is checked at once if it is connected', true, 1],
    ['is not checked before it is connected', false, 0],
  ])('%s', async (_, areConnected, infos) => {
    const { refresh, connectionsTo, replicas } = setUp({ areConnected })
    refresh(['a:1', 'b:2'])
    expect(replicas[0]?.appliedThrough).toBe(-1)
    const [connection] = connectionsTo('b:2')
    expect(connection?.infos).toBe(infos)
    await new Promise(setImmediate)
    // Zero before the first measurement.
    expect(replicas[0]?.roundTripMs === 0).toBe(!areConnected)
  })
})

describe('a check of the health', () => {
  test('asks all nodes, and for the slots only if a master has no replica', async () => {
    const { shards, refresh, connectionsTo, refreshSlots, replicas } = setUp()
    refresh(['a:1', 'b:2'])
    for (const connection of connectionsTo('a:1')) connection.info = master
    const infosBefore = connectionsTo('b:2')[0]?.infos ?? 0
    await shards.checkHealth()
    expect(connectionsTo('a:1')[0]?.infos).toBe(1)
    expect(connectionsTo('b:2')[0]?.infos).toBe(infosBefore + 1)
    expect([replicas[0]?.health, refreshSlots.mock.calls.length]).toEqual([2, 0])
    refresh(['a:1', 'b:2'], ['c:3'])
    await shards.checkHealth()
    expect(refreshSlots).toHaveBeenCalledTimes(1)
  })
})
