import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { chunked, groupedBySlot, SingleTopology } from '../../src/topology/topology.ts'
import { FakeConnection, infoOf } from './fake-connection.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

/** A server with or without replicas. */
function setUp(replicas: number) {
  const server = new FakeConnection('server')
  server.info = infoOf({ role: 'master', replicas })
  const topology = new SingleTopology(server.connection)
  return { server, topology, connection: server.connection }
}

describe('a single server', () => {
  test('gets all requests, unless it has failed', async () => {
    const { topology, connection } = setUp(0)
    expect([topology.primary(), topology.reader(['k'])]).toEqual([connection, connection])
    expect(topology.reader(['k'], undefined, [connection])).toBeUndefined()
    expect(await topology.primaries()).toEqual([connection])
    expect(await topology.clockServer()).toBe(connection)
    expect(topology.beginWrite()).toBeUndefined()
  })

  test('is closed with the store', async () => {
    const { topology, server } = setUp(0)
    await topology.close()
    expect(server.isClosed).toBe(true)
  })

  test('without replicas has an empty token, and is asked again after a second', async () => {
    const { topology, server } = setUp(0)
    vi.advanceTimersByTime(10_000)
    for (const [ms, infos] of [
      [0, 1],
      [999, 1],
      [1, 2],
      [0, 2],
    ] as const) {
      vi.advanceTimersByTime(ms)
      expect([await topology.consistencyToken(), server.infos]).toEqual(['', infos])
    }
  })

  test('with replicas is asked for each token', async () => {
    const { topology, server } = setUp(1)
    for (const infos of [1, 2]) {
      expect(await topology.consistencyToken()).toContain('stream')
      expect(server.infos).toBe(infos)
    }
  })
})

describe('the keys of one command', () => {
  const keys = (count: number) => Array.from({ length: count }, (_, index) => `k${index}`)

  test('are at most 500', () => {
    expect(chunked(keys(1_001)).map(({ length }) => length)).toEqual([500, 500, 1])
    expect([chunked(keys(500)).length, chunked([])]).toEqual([1, []])
    const { topology } = setUp(0)
    expect(topology.writeGroups(keys(501))).toEqual(chunked(keys(501)))
    expect(topology.readGroups(keys(501))).toEqual(chunked(keys(501)))
  })

  test('have the same slot in a cluster', () => {
    const tagged = ['{a}1', '{b}1', '{a}2']
    expect(groupedBySlot(tagged)).toEqual([['{a}1', '{a}2'], ['{b}1']])
    const many = keys(501).map((key) => `{a}${key}`)
    expect(groupedBySlot(many).map(({ length }) => length)).toEqual([500, 1])
  })
})
