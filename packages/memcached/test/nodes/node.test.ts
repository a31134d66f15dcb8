import { channels } from '@stowage/core'
import { freePort, startMemcached } from '@stowage/test-servers'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import type { Connection } from '../../src/connection/connection.ts'
import { Node, type NodeOptions, type NodeState } from '../../src/nodes/node.ts'
import { readExists } from '../../src/protocol/status-replies.ts'
import { timeoutMs, useProxiedServer } from './proxied-server.ts'
import { replyToHandshake, replyTooMuchOnce, startTextServer } from './text-server.ts'

const backend = useProxiedServer(['-I', '2m'])

let events: string[] = []
const listener = (event: unknown) => events.push((event as { change: string }).change)
beforeEach(() => {
  events = []
  channels.topology.subscribe(listener)
})
afterEach(() => {
  channels.topology.unsubscribe(listener)
})

/** A node behind the proxy, and the states that it has reported. */
function create(options: Partial<NodeOptions> = {}, port = backend.proxy.port) {
  const states: NodeState[] = []
  const node = new Node(
    { host: '127.0.0.1', port },
    {
      ...{ protocol: 'auto', retryIntervalMs: 50, timeoutMs, connectTimeoutMs: timeoutMs },
      onStateChange: ({ state }) => states.push(state),
      ...options,
    },
  )
  onTestFinished(() => node.close())
  return { node, states }
}

const cut = async (node: Node) => {
  backend.proxy.cut()
  await expect.poll(() => node.connection).toBeUndefined()
}

/** Connections are compared here, because it takes minutes to print how two of them differ. */
function expectSame(connections: readonly (Connection | undefined)[]) {
  expect(new Set(connections).size).toBe(1)
}

/** The timers of attempts in the background, which are shorter than others. */
function recordTimers() {
  const [set, clear] = [vi.spyOn(globalThis, 'setTimeout'), vi.spyOn(globalThis, 'clearTimeout')]
  onTestFinished(() => {
    for (const spy of [set, clear]) spy.mockRestore()
  })
  return {
    started: () =>
      set.mock.calls.flatMap(([, ms = 0], index) =>
        ms < 100 ? [set.mock.results[index]?.value as unknown] : [],
      ),
    cleared: () => clear.mock.calls.map(([timer]) => timer as unknown),
  }
}

describe('a node', () => {
  test('connects once, when it is needed', async () => {
    const { node, states } = create()
    expect([node.state, node.itemBytes, node.failure]).toEqual(['idle', 1024 * 1024, undefined])
    const attempts = [node.connect(), node.connect()]
    expect(node.state).toBe('connecting')
    const [connection, same] = await Promise.all(attempts)
    expectSame([same, await node.connect(), node.connection, connection])
    expect([node.state, states, events]).toEqual(['up', ['up'], ['connected']])
    expect([node.itemBytes, backend.proxy.accepted]).toEqual([2 * 1024 * 1024, 1])
  })

  test('is connected when it publishes that', async () => {
    const { node } = create()
    let again: Promise<Connection> | undefined
    const connectAgain = () => {
      again ??= node.connect()
    }
    channels.topology.subscribe(connectAgain)
    const connection = await node.connect()
    channels.topology.unsubscribe(connectAgain)
    expectSame([connection, await again])
    expect([events, backend.proxy.accepted]).toEqual([['connected'], 1])
  })

  test('replaces a lost connection when it is needed again', async () => {
    const { node, states } = create()
    const connection = await node.connect()
    await cut(node)
    expect([node.state, states, events]).toEqual(['idle', ['up', 'idle'], ['connected', 'lost']])
    expect(await node.connect()).not.toBe(connection)
    expect([states.at(-1), events.at(-1)]).toEqual(['up', 'reconnected'])
  })

  test('is down after a failed attempt, until one in the background succeeds', async () => {
    const { node, states } = create()
    backend.proxy.refuse(true)
    await expect(node.connect()).rejects.toThrow(`127.0.0.1:${backend.proxy.port}: `)
    expect([node.state, states, events]).toEqual(['down', ['down'], ['down']])
    expect(node.failure?.message).toMatch(/closed|ECONNRESET/)
    const rejections = [node.connect(), node.connect()]
    expect(rejections[0]).toBe(rejections[1])
    const rejected = await Promise.allSettled(rejections)
    expect(rejected).toMatchObject(Array(2).fill({ reason: { reason: node.failure } }))
    expect(node.connect()).not.toBe(rejections[0])
    await node.connect().catch(() => {})
    await expect.poll(() => backend.proxy.refused).toBeGreaterThan(2)
    expect(events).toEqual(['down'])
    backend.proxy.refuse(false)
    await expect.poll(() => node.state).toBe('up')
    expect([node.failure, events]).toEqual([undefined, ['down', 'up']])
    await cut(node)
    await node.connect()
    expect(events.slice(2)).toEqual(['lost', 'reconnected'])
  })

  test('is down after a connection that has ended at once', async () => {
    const server = await startTextServer(replyTooMuchOnce())
    const { node, states } = create({ protocol: 'meta', retryIntervalMs: 60_000 }, server.port)
    await expect(node.connect()).rejects.toThrow('the reply belongs to another request')
    expect([node.state, states, events]).toEqual(['down', ['down'], ['down']])
  })

  test('closes the connection to a server that rejects its first requests', async () => {
    const server = await startTextServer(() => 'SERVER_ERROR busy')
    const { node } = create({ protocol: 'meta', retryIntervalMs: 60_000 }, server.port)
    await expect(node.connect()).rejects.toThrow('busy')
    await expect.poll(() => server.sockets.size).toBe(0)
  })

  test('is down after a request that was not answered', async () => {
    const { node } = create()
    const connection = await node.connect()
    backend.proxy.mute(true)
    await expect(connection.noop('ping')).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    expect([node.state, node.failure?.message]).toEqual(['down', 'the node is down'])
    expect(events).toEqual(['connected', 'lost', 'down'])
    backend.proxy.mute(false)
    await expect.poll(() => node.state).toBe('up')
  })

  test('pauses longer after each attempt, up to the interval', async () => {
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.5)
    const setTimer = vi.spyOn(globalThis, 'setTimeout')
    try {
      const { node } = create({ retryIntervalMs: 37 })
      const pauses = () => setTimer.mock.calls.flatMap(([, ms = 0]) => (ms < 38 ? [ms] : []))
      backend.proxy.refuse(true)
      await node.connect().catch(() => {})
      await vi.waitFor(() => expect(pauses().length).toBeGreaterThan(3), 10_000)
      expect(pauses().slice(0, 4)).toEqual([10, 20, 37, 37])
      backend.proxy.refuse(false)
      await vi.waitFor(() => expect(node.state).toBe('up'), 10_000)
      await node.connection?.drain()
      backend.proxy.refuse(true)
      setTimer.mockClear()
      random.mockReturnValue(0)
      await node.connect().catch(() => {})
      expect(pauses()[0]).toBe(7.5)
    } finally {
      setTimer.mockRestore()
      random.mockRestore()
    }
  })

  test('is tried at once by reconnect, instead of after the pause', async () => {
    const { node } = create()
    expectSame([await node.reconnect(), await node.reconnect(), node.connection])
    await cut(node)
    const timers = recordTimers()
    backend.proxy.refuse(true)
    await node.connect().catch(() => {})
    const [first] = timers.started()
    await node.reconnect().catch(() => {})
    const [, second] = timers.started()
    backend.proxy.refuse(false)
    await node.reconnect()
    expect(timers.cleared()).toEqual(expect.arrayContaining([first, second]))
    expect(node.state).toBe('up')
  })
})

describe('close', () => {
  test('waits for the requests in flight, and is final', async () => {
    const { node, states } = create()
    const connection = await node.connect()
    let hasReplied = false
    const pong = connection.noop('ping').then(() => {
      hasReplied = true
    })
    await node.close()
    expect(hasReplied).toBe(true)
    await pong
    expect([node.state, states, events]).toEqual(['closed', ['up', 'closed'], ['connected']])
    await expect(node.connect()).rejects.toThrow('the node was removed')
    await expect(node.reconnect()).rejects.toThrow('the node was removed')
    await expect.poll(() => backend.proxy.connections).toBe(0)
  })

  test('ends the attempt in flight', async () => {
    const { node } = create()
    const attempt = node.connect()
    await node.close()
    expect((await attempt).endReason).toBeDefined()
    await expect.poll(() => backend.proxy.connections).toBe(0)
  })

  test('ends the attempts in the background, without an event', async () => {
    const timers = recordTimers()
    const { node } = create()
    backend.proxy.refuse(true)
    await node.connect().catch(() => {})
    const [retry] = timers.started()
    await node.close()
    expect(timers.cleared()).toContain(retry)
    const closing = create().node
    const failed = closing.connect().catch((reason) => reason)
    const before = timers.started().length
    await closing.close()
    expect(await failed).toMatchObject({ reason: expect.any(Error) })
    expect([timers.started().length, events]).toEqual([before, ['down']])
  })
})

describe('the deletes of a node', () => {
  const exists = async (node: Node, key: string) => {
    const connection = await node.connect()
    const read = await connection.get('get', key, ({ status }) => status === 0)
    return read
  }
  const store = async (node: Node, key: string) => {
    const connection = await node.connect()
    const request = { mode: 'set', key, payload: 'v', flags: 0, exptime: 0, cas: 0n } as const
    await connection.store('set', request, () => undefined)
  }

  test('are sent at once while it is up, and before it serves again otherwise', async () => {
    const { node } = create()
    for (const key of ['a', 'b']) await store(node, key)
    node.deleteLater('a')
    expect([await exists(node, 'a'), await exists(node, 'b')]).toEqual([false, true])
    await cut(node)
    node.deleteLater('b')
    expect(await exists(node, 'b')).toBe(false)
  })

  test('fail with the connection', async () => {
    const { node } = create()
    await store(node, 'a')
    backend.proxy.mute(true)
    node.deleteLater('a')
    backend.proxy.mute(false)
    await cut(node)
    expect(await exists(node, 'a')).toBe(false)
    const failures = await (await node.connect()).deleteMany('delete', ['a'], readExists)
    expect(failures).toBeUndefined()
  })

  test('keep it down while the server rejects them', async () => {
    const server = await startTextServer((line) =>
      line.startsWith('md ') ? 'SERVER_ERROR busy' : replyToHandshake(line),
    )
    const { node } = create({ protocol: 'meta', retryIntervalMs: 60_000 }, server.port)
    node.deleteLater('a')
    await expect(node.connect()).rejects.toThrow('busy')
    expect(node.state).toBe('down')
  })
})

describe('the protocol', () => {
  const text = async (...args: string[]) => {
    const server = await startMemcached({ port: await freePort(), args })
    onTestFinished(server.stop)
    backend.proxy.retarget(server.port)
  }

  test.each(['binary', 'meta'] as const)('is the given one: %s', async (protocol) => {
    const { node } = create({ protocol })
    expect((await node.connect()).protocol.name).toBe(protocol)
    expect(backend.proxy.accepted).toBe(1)
  })

  test('is that which the server accepts, and tried first the next time', async () => {
    const { node } = create()
    expect((await node.connect()).protocol.name).toBe('binary')
    await text('-B', 'ascii')
    await cut(node)
    expect((await node.connect()).protocol.name).toBe('meta')
    const { accepted } = backend.proxy
    // That of the protocol which was refused is closed.
    await expect.poll(() => backend.proxy.connections).toBe(1)
    await cut(node)
    expect((await node.connect()).protocol.name).toBe('meta')
    expect(backend.proxy.accepted).toBe(accepted + 1)
  })

  test('must be accepted by the server', async () => {
    await text('-B', 'ascii')
    const { node } = create({ protocol: 'binary' })
    await expect(node.connect()).rejects.toThrow()
    expect(node.state).toBe('down')
  })

  test('meta has a connection of its own beside a binary one, which is closed with the node', async () => {
    const { node } = create()
    const connection = await node.connect()
    const [first, second] = await Promise.all([
      node.connectMeta('get', 'k'),
      node.connectMeta('get', 'k'),
    ])
    expect(first.protocol.name).toBe('meta')
    expect(first).not.toBe(connection)
    expectSame([first, second, await node.connectMeta('get', 'k')])
    expect(backend.proxy.accepted).toBe(2)
    await cut(node)
    expect(await node.connectMeta('get', 'k')).not.toBe(first)
    await node.close()
    await expect.poll(() => backend.proxy.connections).toBe(0)
    const meta = create({ protocol: 'meta' }).node
    expectSame([await meta.connectMeta('get', 'k'), meta.connection])
  })

  test('meta is not tried again for a minute on a server without it', async () => {
    await text('-B', 'binary')
    const { node } = create()
    await node.connect()
    const unsupported = { code: 'ERR_CACHE_UNSUPPORTED', operation: 'get', key: 'k' }
    await expect(node.connectMeta('get', 'k')).rejects.toMatchObject(unsupported)
    const { accepted } = backend.proxy
    await expect(node.connectMeta('get', 'k')).rejects.toMatchObject(unsupported)
    expect([backend.proxy.accepted, node.state]).toEqual([accepted, 'up'])
    const now = performance.now()
    const clock = vi.spyOn(performance, 'now').mockReturnValue(now + 60_000)
    try {
      await expect(node.connectMeta('get', 'k')).rejects.toMatchObject(unsupported)
      expect(backend.proxy.accepted).toBe(accepted + 1)
    } finally {
      clock.mockRestore()
    }
    await expect.poll(() => backend.proxy.connections).toBe(1)
  })
})
