import { type Consistency, channels } from '@stowage/core'
import { ReplicationTracker } from '@stowage/core/internal'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { ReadFrom, ResolvedOptions } from '../../src/redis-options.ts'
import { ReplicatedTopology } from '../../src/topology/replicated-topology.ts'
import { FakeConnection, infoOf } from './fake-connection.ts'

const updateMs = 1_000
const renewMs = 60_000

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout', 'performance'],
  })
  // Half of the jitter.
  vi.spyOn(Math, 'random').mockReturnValue(0.5)
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

interface Setting {
  readonly fixed?: readonly string[]
  readonly consistency?: Consistency
  readonly readFrom?: ReadFrom
  /** What a new connection to a replica is like. */
  readonly prepare?: (connection: FakeConnection) => void
}

/** A primary and the replicas that a test lists. Addresses that begin with `host` are host names. */
function setUp(setting: Setting = {}) {
  const { fixed = [], consistency = 'eventual', readFrom = 'replica', prepare } = setting
  const primary = new FakeConnection('primary')
  primary.info = infoOf({ role: 'master', replicas: 1 })
  const connected: FakeConnection[] = []
  const list = { addresses: [...fixed], error: undefined as Error | undefined, reads: 0 }
  const source = {
    fixed,
    addresses: async () => {
      list.reads++
      if (list.error !== undefined) throw list.error
      return list.addresses
    },
    connect: (address: string) => {
      const replica = new FakeConnection(address)
      prepare?.(replica)
      connected.push(replica)
      return replica.connection
    },
    isHostname: (address: string) => address.startsWith('host'),
    close: vi.fn(async () => {}),
  }
  const options = { consistency, readFrom, assumedLagMs: 0, renewReplicasMs: renewMs }
  const topology = new ReplicatedTopology(
    primary.connection,
    source,
    options as unknown as ResolvedOptions,
  )
  onTestFinished(() => topology.close())
  const read = (consistencyOfRead?: Consistency) =>
    (topology.reader(['k'], consistencyOfRead) as unknown as FakeConnection)?.node
  /** Lets the next update list these replicas. */
  const update = async (...addresses: string[]) => {
    list.addresses = addresses
    await vi.advanceTimersByTimeAsync(updateMs)
  }
  /** The connections that are open, by the address of their replica. */
  const open = () => connected.filter(({ isClosed }) => !isClosed).map(({ node }) => node)
  return { topology, primary, connected, list, source, read, update, open }
}

/** The changes that are published, as `added a:1`. */
function topologyChanges(): string[] {
  const changes: string[] = []
  const listener = (event: unknown) => {
    const { change, server } = event as { change: string; server: string }
    changes.push(`${change} ${server}`)
  }
  channels.topology.subscribe(listener)
  onTestFinished(() => void channels.topology.unsubscribe(listener))
  return changes
}

describe('the list of the replicas', () => {
  test('is read with the first read, every second after it, and not after close', async () => {
    const { topology, list, read, update } = setUp()
    await vi.advanceTimersByTimeAsync(updateMs)
    expect([list.reads, vi.getTimerCount()]).toEqual([0, 0])
    for (let reads = 0; reads < 2; reads++) expect(read()).toBe('primary')
    expect(list.reads).toBe(1)
    await update()
    await update()
    expect(list.reads).toBe(3)
    await topology.close()
    expect(read()).toBe('primary')
    expect([list.reads, vi.getTimerCount()]).toEqual([3, 0])
  })

  test('determines the connections, one for each time that it has an address', async () => {
    const changes = topologyChanges()
    const { read, update, open, connected } = setUp({ fixed: ['a:1', 'b:1'] })
    expect([open(), changes]).toEqual([
      ['a:1', 'b:1'],
      ['added a:1', 'added b:1'],
    ])
    read()
    changes.length = 0
    await update('b:1', 'b:1', 'c:1')
    expect(open().sort()).toEqual(['b:1', 'b:1', 'c:1'])
    expect(changes).toEqual(['removed a:1', 'added b:1', 'added c:1'])
    await update('b:1', 'c:1')
    expect(open().sort()).toEqual(['b:1', 'c:1'])
    expect(connected).toHaveLength(4)
  })

  test('remains if it cannot be read', async () => {
    const { read, update, open, list } = setUp({ fixed: ['a:1'] })
    read()
    list.error = new Error('no Sentinel replies')
    await update()
    expect(open()).toEqual(['a:1'])
    expect(read()).toBe('a:1')
  })

  test('that is read during close changes nothing', async () => {
    const { topology, primary, read, list, connected } = setUp()
    list.addresses = ['a:1']
    read()
    await topology.close()
    await vi.advanceTimersByTimeAsync(updateMs)
    expect(connected).toEqual([])
    expect(primary.infos).toBe(0)
  })
})

describe('a read', () => {
  test('is sent to a replica once that is known to replicate the primary', async () => {
    const { read, update } = setUp({ fixed: ['a:1'] })
    expect(read()).toBe('primary')
    await update('a:1')
    expect([read(), read('strong')]).toEqual(['a:1', 'primary'])
  })

  test('is not sent to servers that have failed', async () => {
    const { topology, primary, connected, update } = setUp({ fixed: ['a:1'] })
    topology.reader(['k'])
    await update('a:1')
    const replica = connected[0]?.connection as never
    expect(topology.reader(['k'], undefined, [replica])).toBe(primary.connection)
    expect(topology.reader(['k'], undefined, [replica, primary.connection])).toBeUndefined()
  })

  test('has the consistency of the store', async () => {
    const { read, update } = setUp({ fixed: ['a:1'], consistency: 'strong' })
    read()
    await update('a:1')
    expect([read(), read('eventual')]).toEqual(['primary', 'a:1'])
  })

  test('of the session needs a replica whose position is known, unless it is from the beginning', () => {
    const prepare = (replica: FakeConnection) => {
      replica.info = new Error('down')
    }
    const { primary, read } = setUp({ fixed: ['a:1'], consistency: 'session', prepare })
    primary.isConnected = false
    expect(read()).toBe('a:1')
  })

  test('of the session is not sent to a replica that was added later, before its position is known', async () => {
    const prepare = (replica: FakeConnection) => {
      replica.info = new Error('down')
    }
    const { primary, read, update } = setUp({ consistency: 'session', prepare })
    read()
    await update('a:1')
    primary.isConnected = false
    expect([read(), read('eventual')]).toEqual(['primary', 'a:1'])
  })
})

describe('a connection', () => {
  test('of a replica is opened with the first read, and at once if it is added later', async () => {
    const tries: unknown[] = []
    const prepare = (replica: FakeConnection) => {
      const tryConnect = replica.tryConnect.bind(replica)
      replica.tryConnect = () => {
        tries.push(replica.node)
        return tryConnect()
      }
    }
    const { read, update } = setUp({ fixed: ['a:1'], prepare })
    expect(tries).toEqual([])
    read()
    // At the time of an update, before its check of the health.
    await update('a:1', 'b:1')
    expect(tries.filter((address) => address === 'b:1')).toHaveLength(2)
  })

  test('of a replica that is lost is not used, and its server is checked when it is back', async () => {
    const { read, update, connected } = setUp({ fixed: ['a:1'] })
    read()
    await update('a:1')
    const [replica] = connected
    replica?.change(false)
    expect(read()).toBe('primary')
    replica?.change(true)
    expect(read()).toBe('primary')
    await vi.advanceTimersByTimeAsync(0)
    expect(read()).toBe('a:1')
  })

  test('of the primary that comes back makes the replicas catch up', () => {
    const catchUp = vi.spyOn(ReplicationTracker.prototype, 'requireCatchUp')
    const { primary } = setUp({ consistency: 'session' })
    primary.change(true)
    primary.change(false)
    expect(catchUp).not.toHaveBeenCalled()
    primary.change(true)
    expect(catchUp).toHaveBeenCalledTimes(1)
  })
})

describe('the connection to a host name', () => {
  const due = 61
  async function pass(seconds: number, update: (...addresses: string[]) => Promise<void>) {
    for (let second = 0; second < seconds; second++) await update('host:1', '10.0.0.1:1')
  }

  test('is renewed one at a time, and used until the new one is connected', async () => {
    const { read, update, open, connected } = setUp({ fixed: ['host:1', '10.0.0.1:1'] })
    read()
    await pass(due - 1, update)
    expect(connected).toHaveLength(2)
    await pass(3, update)
    expect(open()).toEqual(['host:1', '10.0.0.1:1', 'host:1'])
    const [old, other, renewed] = connected
    // The update checks it at once.
    expect(renewed?.infos).toBe(3)
    other?.change(true)
    expect(old?.isClosed).toBe(false)
    // The one that is replaced comes back: it does not replace itself.
    old?.change(true)
    expect(old?.isClosed).toBe(false)
    renewed?.change(false)
    expect(old?.isClosed).toBe(false)
    renewed?.change(true)
    expect([old?.isClosed, renewed?.isClosed]).toEqual([true, false])
    await pass(3, update)
    expect(connected).toHaveLength(3)
  })

  test('is renewed earlier or later, so that not all are renewed at once', async () => {
    for (const [random, ms] of [
      [0, 45_000],
      [1, 75_000],
    ] as const) {
      vi.mocked(Math.random).mockReturnValue(random)
      const { read, update, connected } = setUp({ fixed: ['host:1', '10.0.0.1:1'] })
      read()
      await pass(ms / updateMs, update)
      expect(connected).toHaveLength(2)
      await pass(1, update)
      expect(connected).toHaveLength(3)
    }
  })

  test('is closed with the new one if the address is not listed any more', async () => {
    const changes = topologyChanges()
    const { read, update, open } = setUp({ fixed: ['host:1', '10.0.0.1:1'] })
    read()
    await pass(due, update)
    changes.length = 0
    await update('10.0.0.1:1')
    expect(open()).toEqual(['10.0.0.1:1'])
    expect(changes).toEqual(['removed host:1', 'removed host:1'])
  })

  test.each([
    ['first', 0],
    ['second', 1],
  ])('leaves one if one of two is not listed any more: the %s is renewed', async (_, renewals) => {
    const { read, update, open, connected } = setUp({ fixed: ['host:1', 'host:1'] })
    read()
    await vi.advanceTimersByTimeAsync(due * updateMs)
    for (let renewal = 0; renewal < renewals; renewal++) {
      connected.at(-1)?.change(true)
      await vi.advanceTimersByTimeAsync(updateMs)
    }
    await update('host:1')
    // The one that is left may be renewed in its turn.
    connected.at(-1)?.change(true)
    expect(open()).toEqual(['host:1'])
  })

  test('is renewed in the place of one of two', async () => {
    const { read, open, connected, list } = setUp({ fixed: ['host:1', 'host:1'] })
    read()
    await vi.advanceTimersByTimeAsync(due * updateMs)
    expect(open()).toHaveLength(3)
    connected[2]?.change(true)
    await vi.advanceTimersByTimeAsync(updateMs)
    expect(connected).toHaveLength(4)
    connected[3]?.change(true)
    await vi.advanceTimersByTimeAsync(updateMs)
    expect([open(), connected.map(({ isClosed }) => isClosed)]).toEqual([
      ['host:1', 'host:1'],
      [true, true, false, false],
    ])
    expect(list.addresses).toEqual(['host:1', 'host:1'])
  })
})

describe('keys', () => {
  test('that were just written are read apart from the others', () => {
    const { topology } = setUp({ fixed: ['a:1'], consistency: 'session' })
    const keys = ['a', 'b', 'c']
    expect(topology.readGroups(keys)).toEqual([keys])
    topology.beginWrite(['b'])
    expect(topology.readGroups(keys)).toEqual([['b'], ['a', 'c']])
    expect(topology.readGroups(keys, 'eventual')).toEqual([keys])
    expect(topology.writeGroups(keys)).toEqual([keys])
  })

  test('are not tracked without the consistency of the session', () => {
    const { topology } = setUp()
    expect(topology.beginWrite(['a'])).toBeUndefined()
    expect(topology.readGroups(['a', 'b'], 'session')).toEqual([['a', 'b']])
  })
})

test('writes, the clock and the commands for all keys use the primary', async () => {
  const { topology, primary } = setUp({ fixed: ['a:1'] })
  expect(topology.primary()).toBe(primary.connection)
  expect(await topology.primaries()).toEqual([primary.connection])
  expect(await topology.clockServer()).toBe(primary.connection)
  expect(await topology.consistencyToken()).toContain('stream')
})

test('a token of another process makes the replicas catch up', () => {
  const observe = vi.spyOn(ReplicationTracker.prototype, 'observe')
  const { topology } = setUp({ consistency: 'session' })
  topology.observe('token')
  expect(observe).toHaveBeenCalledWith('token')
})

test('close closes all connections, and waits for those of removed replicas', async () => {
  const closing: (() => void)[] = []
  let isOver = false
  const prepare = (replica: FakeConnection) => {
    replica.close = () =>
      new Promise((resolve) => {
        if (isOver) resolve()
        else closing.push(resolve)
      })
  }
  const setting = { fixed: ['a:1', 'b:1'], consistency: 'session', prepare } as const
  const { topology, primary, source, read, update } = setUp(setting)
  const closeTracker = vi.spyOn(ReplicationTracker.prototype, 'close')
  read()
  await update('b:1')
  expect(closing).toHaveLength(1)
  let hasClosed = false
  const closed = topology.close().then(() => {
    hasClosed = true
  })
  await vi.advanceTimersByTimeAsync(0)
  expect([primary.isClosed, source.close.mock.calls.length, closing.length]).toEqual([true, 1, 2])
  closing[1]?.()
  await vi.advanceTimersByTimeAsync(0)
  expect(hasClosed).toBe(false)
  closing[0]?.()
  await closed
  isOver = true
  expect(closeTracker).toHaveBeenCalledTimes(1)
})
