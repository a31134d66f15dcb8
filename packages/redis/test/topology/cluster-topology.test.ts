import type { Consistency } from '@stowage/core'
import { ReplicationTracker } from '@stowage/core/internal'
import type { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { ClusterConnection } from '../../src/connection/cluster/cluster-connection.ts'
import type { NodeConnection } from '../../src/connection/cluster/node-connection.ts'
import type { ReadFrom, ResolvedOptions } from '../../src/redis-options.ts'
import { ClusterTopology } from '../../src/topology/cluster-topology.ts'
import { FakeConnection, infoOf } from './fake-connection.ts'

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'performance'],
  })
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

interface Setting {
  readonly readFrom?: ReadFrom
  readonly consistency?: Consistency
}

const node = (host: string) => ({ options: { host, port: 1 } }) as unknown as Redis

/** A cluster of one shard: the master `a:1` has all slots, `b:1` is its replica. Its client does not connect. */
function setUp({ readFrom = 'replica', consistency = 'eventual' }: Setting = {}) {
  const client = ClusterConnection.prototype
  const [master, replica] = [node('a'), node('b')]
  const connections = new Map<Redis, FakeConnection>()
  const connectionTo = (to: Redis) => {
    const existing = connections.get(to) ?? new FakeConnection(to)
    connections.set(to, existing)
    return existing as unknown as NodeConnection
  }
  vi.spyOn(client, 'ready').mockResolvedValue(undefined)
  vi.spyOn(client, 'tryConnect').mockReturnValue(true)
  vi.spyOn(client, 'masters').mockReturnValue([master])
  vi.spyOn(client, 'nodes').mockReturnValue(
    new Map([
      ['a:1', master],
      ['b:1', replica],
    ]),
  )
  const slots = vi.spyOn(client, 'slots', 'get')
  slots.mockReturnValue(Array.from({ length: 16_384 }, () => ['a:1', 'b:1']))
  vi.spyOn(client, 'connectionTo').mockImplementation(connectionTo)
  vi.spyOn(client, 'connectionToReplica').mockImplementation(connectionTo)
  const refreshSlots = vi.spyOn(client, 'refreshSlots').mockReturnValue()
  const listening = vi.spyOn(client, 'onSlotsRefreshed').mockReturnValue()
  const options = { readFrom, consistency, assumedLagMs: 0, timeoutMs: 1_000 }
  const resolved = { ...options, connectTimeoutMs: 1_000 } as unknown as ResolvedOptions
  const topology = new ClusterTopology([{ host: 'a', port: 1 }], {}, resolved)
  onTestFinished(() => topology.close())
  const refresh = () => {
    for (const [listener] of listening.mock.calls) listener()
    for (const connection of connections.values()) {
      connection.info = infoOf({ role: connection.node === master ? 'master' : 'slave' })
    }
  }
  const connectionOf = (to: Redis) => connections.get(to)?.connection
  return { topology, master, replica, slots, refresh, refreshSlots, connectionOf }
}

describe('a read', () => {
  test('is sent to a replica of its slot, with the consistency of the store', async () => {
    for (const consistency of ['eventual', 'strong'] as const) {
      const { topology, replica, refresh, connectionOf } = setUp({ consistency })
      expect(topology.reader(['k'])).toBe(topology.primary())
      refresh()
      await vi.advanceTimersByTimeAsync(1_000)
      const expected = consistency === 'eventual' ? connectionOf(replica) : topology.primary()
      expect(topology.reader(['k'])).toBe(expected)
      expect(topology.reader([], 'eventual')).toBe(connectionOf(replica))
      expect(topology.reader(['k'], 'strong')).toBe(topology.primary())
    }
  })

  test('is not sent to what has failed', async () => {
    const { topology, replica, master, refresh, connectionOf } = setUp()
    refresh()
    await vi.advanceTimersByTimeAsync(1_000)
    const failed = connectionOf(replica) as never
    expect(topology.reader(['k'], undefined, [failed])).toBe(topology.primary())
    expect(topology.reader(['k'], undefined, [failed, topology.primary()])).toBeUndefined()
    expect(topology.reader(['k'], undefined, [topology.primary()])).toBe(connectionOf(replica))
    // The master is reached through the client only.
    expect(topology.reader(['k'], 'strong', [topology.primary()])).toBeUndefined()
    expect(connectionOf(master)).toBeDefined()
  })

  test('that the client has failed is sent to a replica, although its health is not known', () => {
    const { topology, replica, refresh, connectionOf } = setUp()
    refresh()
    expect(topology.reader(['k'])).toBe(topology.primary())
    expect(topology.reader(['k'], undefined, [topology.primary()])).toBe(connectionOf(replica))
  })

  test('is sent to the client if the slot is not known', () => {
    const { topology, slots, refresh } = setUp()
    refresh()
    slots.mockReturnValue([])
    expect(topology.reader(['k'])).toBe(topology.primary())
    expect(topology.reader(['k'], undefined, [topology.primary()])).toBeUndefined()
  })

  test('that a replica does not find is repeated by the client, unless it is eventual', () => {
    const { topology, replica, refresh, connectionOf } = setUp({ consistency: 'session' })
    refresh()
    const reader = connectionOf(replica) as never
    expect(topology.fallbackReader(reader)).toBe(topology.primary())
    expect(topology.fallbackReader(reader, 'eventual')).toBeUndefined()
    expect(topology.fallbackReader(topology.primary())).toBeUndefined()
  })
})

describe('without replicas', () => {
  test('a cluster starts no timer and tracks no writes', () => {
    const { topology, refresh } = setUp({ readFrom: 'primary', consistency: 'session' })
    refresh()
    expect([vi.getTimerCount(), topology.beginWrite(['k'])]).toEqual([0, undefined])
  })
})

describe('with replicas', () => {
  test('the health is checked every second, and the slots every five seconds', async () => {
    const { topology, master, refresh, refreshSlots, connectionOf } = setUp()
    refresh()
    await vi.advanceTimersByTimeAsync(4_999)
    const server = connectionOf(master) as unknown as FakeConnection
    expect([server.infos, refreshSlots.mock.calls.length]).toEqual([4, 0])
    await vi.advanceTimersByTimeAsync(1)
    expect([server.infos, refreshSlots.mock.calls.length]).toEqual([5, 1])
    await topology.close()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('writes are tracked for the consistency of the session only', () => {
    expect(setUp().topology.beginWrite(['k'])).toBeUndefined()
    expect(setUp({ consistency: 'session' }).topology.beginWrite(['k'])).toEqual(
      expect.any(Function),
    )
  })

  test('a token of another process is observed, and close ends the observation', async () => {
    const observe = vi.spyOn(ReplicationTracker.prototype, 'observe')
    const close = vi.spyOn(ReplicationTracker.prototype, 'close')
    const { topology } = setUp({ consistency: 'session' })
    topology.observe('token')
    expect(observe).toHaveBeenCalledWith('token')
    await topology.close()
    expect(close).toHaveBeenCalledTimes(1)
  })
})

describe('the clock', () => {
  test('is that of the master of the first slot, which is read again after five seconds', async () => {
    const { topology, master, connectionOf, refreshSlots } = setUp({ readFrom: 'primary' })
    for (const [ms, refreshes] of [
      [5_000, 0],
      [1, 1],
      [5_000, 1],
      [1, 2],
    ] as const) {
      vi.advanceTimersByTime(ms)
      expect(await topology.clockServer()).toBe(connectionOf(master))
      expect(refreshSlots).toHaveBeenCalledTimes(refreshes)
    }
  })
})

test('commands for all keys are sent to every master, when the client knows them', async () => {
  const { topology, master, connectionOf } = setUp()
  let isReady = false
  vi.spyOn(ClusterConnection.prototype, 'ready').mockImplementation(async () => {
    await null
    isReady = true
  })
  vi.spyOn(ClusterConnection.prototype, 'masters').mockImplementation(() =>
    isReady ? [master] : [],
  )
  expect(await topology.primaries()).toEqual([connectionOf(master)])
  isReady = false
  expect(await topology.clockServer()).toBe(connectionOf(master))
  expect(await topology.consistencyToken()).toBe('')
  expect(await topology.slotLayout()).toEqual({ text: '', isMigrating: false })
})

test('keys are grouped by their slots', () => {
  const { topology } = setUp()
  const keys = ['{a}1', '{b}1', '{a}2']
  const groups = [['{a}1', '{a}2'], ['{b}1']]
  expect([topology.writeGroups(keys), topology.readGroups(keys)]).toEqual([groups, groups])
})
