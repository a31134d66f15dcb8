import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { startMemcached } from '@stowage/test-servers'
import { describe, expect, test, vi } from 'vitest'
import { gate, settle } from '../../../core/test/remember/two-processes.ts'
import { discoveryChannels } from '../../src/discovery/events.ts'
import { hasIPv6 } from '../ipv6.ts'
import {
  addresses,
  advanceToNextPoll,
  clock,
  collectEvents,
  discover,
  host,
  memcached,
  minuteMs,
  nodeLists,
  onCleanup,
  registerHooks,
  shortTimeoutMs,
  startEndpoint,
  startServer,
  waitForNodes,
  waitOptions,
} from './discovery-fixture.ts'

registerHooks()

describe('the first list of nodes', () => {
  test('is queried by the first call of ready() and published', async () => {
    const events = collectEvents(discoveryChannels.nodes)
    const endpoint = await startEndpoint({ nodes: ['a|10.0.0.1|1', 'b:2', '[::1]:3'], version: 7 })
    const discovery = discover(endpoint.port)
    expect(discovery.nodes).toBeUndefined()
    const nodes = [
      { host: 'a', ip: '10.0.0.1', port: 1 },
      { host: 'b', port: 2 },
      { host: '::1', port: 3 },
    ]
    expect(await discovery.ready()).toEqual(nodes)
    expect(discovery.nodes).toEqual(nodes)
    expect(nodeLists).toEqual([nodes])
    expect(events).toEqual([
      { endpoint: { host, port: endpoint.port }, from: [], to: nodes, version: 7 },
    ])
  })

  test('is queried once for concurrent and later calls', async () => {
    const endpoint = await startEndpoint()
    const discovery = discover(endpoint.port)
    discovery.pollSoon()
    const lists = await Promise.all([discovery.ready(), discovery.ready(), discovery.ready()])
    expect(new Set(lists).size).toBe(1)
    await discovery.ready()
    expect(endpoint.queryCount).toBe(1)
  })

  test('is read from a reply that arrives byte by byte', async () => {
    const endpoint = await startEndpoint()
    endpoint.fragmentBytes = 1
    const discovery = discover(endpoint.port)
    expect(await discovery.ready()).toEqual(addresses(memcached.port))
  })

  test.each([80, 7, 60_000])(
    'is read from a reply that declares a wrong length: %i',
    async (bytes) => {
      const endpoint = await startEndpoint()
      endpoint.declaredBytes = bytes
      expect(await discover(endpoint.port).ready()).toEqual(addresses(memcached.port))
    },
  )

  test('is read from an engine that supports only the legacy command', async () => {
    const endpoint = await startEndpoint()
    endpoint.reply = 'legacy'
    expect(await discover(endpoint.port).ready()).toEqual(addresses(memcached.port))
  })

  test('is read from an item of a stock memcached', async () => {
    const text = `3\na|10.0.0.1|11211 b||11212\n`
    const stock = await startMemcached()
    onCleanup(() => stock.stop())
    await new Promise<void>((resolve, reject) => {
      const socket = connect(stock.port, host).on('error', reject)
      socket.write(`set AmazonElastiCache:cluster 0 0 ${text.length}\r\n${text}\r\n`)
      socket.once('data', () => resolve(void socket.destroy()))
    })
    expect(await discover(stock.port).ready()).toEqual([
      { host: 'a', ip: '10.0.0.1', port: 11211 },
      { host: 'b', port: 11212 },
    ])
  })

  test.runIf(hasIPv6)('is queried over IPv6', async () => {
    const endpoint = await startEndpoint({ host: '::1' })
    endpoint.nodes = [`[::1]:${endpoint.port}`, `node|fd00::1|2`]
    const discovery = discover(endpoint.port, { endpoint: { host: '::1', port: endpoint.port } })
    expect(await discovery.ready()).toEqual([
      { host: '::1', port: endpoint.port },
      { host: 'node', ip: 'fd00::1', port: 2 },
    ])
    endpoint.scale(endpoint.nodes.slice(0, 1))
    await advanceToNextPoll(endpoint)
    await waitForNodes(discovery, [{ host: '::1', port: endpoint.port }])
  })

  test('is read from the first address of the endpoint that replies', async () => {
    const { port } = await startEndpoint()
    const lookup = async () => [
      { address: '127.0.0.1' },
      { address: '::1' },
      { address: '127.9.9.9' },
    ]
    const discovery = discover(port, { endpoint: { host: 'name.invalid', port }, lookup })
    expect(await discovery.ready()).toEqual(addresses(memcached.port))
  })
})

describe('when the first query fails', () => {
  test('rejects, repeats the error for a second, and then retries', async () => {
    const endpoint = await startEndpoint()
    const { port } = endpoint
    await endpoint.stop()
    const failures = collectEvents(discoveryChannels.failed)
    const discovery = discover(port)
    const failure = {
      name: 'CacheError',
      code: 'ERR_CACHE_UNAVAILABLE',
      store: 'memcached',
      message: expect.stringContaining(`${host}:${port}: connect ECONNREFUSED`),
    }
    await expect(discovery.ready()).rejects.toMatchObject(failure)
    expect(failures).toEqual([
      { endpoint: { host, port }, error: expect.objectContaining(failure) },
    ])
    await endpoint.listen(port)
    await clock.advance(999)
    await expect(discovery.ready()).rejects.toMatchObject(failure)
    expect(endpoint.queryCount).toBe(0)
    await clock.advance(1)
    expect(await discovery.ready()).toEqual(addresses(memcached.port))
    expect(nodeLists.length).toBe(1)
  })

  test('queries again after a second, also while early polls are less frequent', async () => {
    const lookup = vi.fn(() => Promise.reject(new Error('no such host')))
    const discovery = discover(1, { lookup })
    const fails = () => expect(discovery.ready()).rejects.toThrow('no such host')
    await fails()
    for (let second = 1; second < 30; second++) {
      await clock.advance(1_000)
      await settle()
    }
    expect(lookup).toHaveBeenCalledTimes(30)
    await clock.advance(999)
    await fails()
    expect(lookup).toHaveBeenCalledTimes(30)
    await clock.advance(1)
    await fails()
    expect(lookup).toHaveBeenCalledTimes(31)
  })

  test('retries in the background', async () => {
    const endpoint = await startEndpoint()
    endpoint.refuseConnections = true
    const discovery = discover(endpoint.port)
    await expect(discovery.ready()).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    endpoint.refuseConnections = false
    await clock.advance(1_000)
    await waitForNodes(discovery, addresses(memcached.port))
  })

  test('times out if the endpoint does not reply', async () => {
    const endpoint = await startEndpoint()
    endpoint.reply = 'none'
    const discovery = discover(endpoint.port, { timeoutMs: shortTimeoutMs })
    const start = performance.now()
    await expect(discovery.ready()).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    // A timer may fire a millisecond early.
    expect(performance.now() - start).toBeGreaterThan(shortTimeoutMs - 5)
    endpoint.reply = 'configuration'
    await clock.advance(1_000)
    expect(await discovery.ready()).toEqual(addresses(memcached.port))
  })

  test('times out if the lookup of the endpoint does not finish', async () => {
    const lookup = () => new Promise<never>(() => {})
    const discovery = discover(1, { timeoutMs: shortTimeoutMs, lookup })
    await expect(discovery.ready()).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  })

  test('times out if the reply stays incomplete', async () => {
    const endpoint = await startEndpoint()
    endpoint.reply = { raw: 'CONFIG cluster 0 50\r\n1\na||1' }
    const discovery = discover(endpoint.port, { timeoutMs: shortTimeoutMs })
    await expect(discovery.ready()).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  })

  test.each([
    ['is not a configuration', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['has no nodes', 'CONFIG cluster 0 2\r\n1\n\r\nEND\r\n'],
    ['has no version', 'CONFIG cluster 0 0\r\n\r\nEND\r\n'],
    ['is too long', `CONFIG cluster 0 900000\r\n${'x'.repeat(70_000)}`],
  ])('rejects a reply that %s', async (problem, raw) => {
    const endpoint = await startEndpoint()
    endpoint.reply = { raw }
    await expect(discover(endpoint.port).ready()).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining(problem),
    })
  })

  test('rejects if the endpoint closes the connection', async () => {
    const port = await startServer((socket) => socket.end())
    await expect(discover(port).ready()).rejects.toMatchObject({
      message: expect.stringContaining('closed the connection'),
    })
  })

  test('rejects if the endpoint has no address', async () => {
    const discovery = discover(1, { lookup: async () => [] })
    await expect(discovery.ready()).rejects.toMatchObject({
      message: expect.stringContaining('no address'),
    })
  })
})

describe('close()', () => {
  test('aborts a query in flight and closes its connection', async () => {
    let connections = 0
    const port = await startServer((socket) => {
      connections++
      socket.resume().on('close', () => connections--)
    })
    const discovery = discover(port, { timeoutMs: 60_000 })
    const rejection = expect(discovery.ready()).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
    await vi.waitFor(() => expect(connections).toBe(1), waitOptions)
    await Promise.all([discovery.close(), discovery.close(), rejection])
    await vi.waitFor(() => expect(connections).toBe(0), waitOptions)
    await expect(discovery.ready()).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
  })

  test('aborts a lookup in flight, without a failure event', async () => {
    const failures = collectEvents(discoveryChannels.failed)
    const discovery = discover(1, { timeoutMs: 60_000, lookup: () => new Promise(() => {}) })
    const rejection = expect(discovery.ready()).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
    await discovery.close()
    await rejection
    expect(failures).toEqual([])
  })

  test('prevents a query after a lookup', async () => {
    let connections = 0
    const port = await startServer((socket) => {
      connections++
      socket.end()
    })
    const found = gate<{ address: string }[]>()
    const discovery = discover(port, { lookup: () => found.opened })
    const rejection = expect(discovery.ready()).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
    await discovery.close()
    await rejection
    found.open([{ address: host }])
    await settle()
    // The server accepts connections in their order.
    await once(connect(port, host), 'end')
    expect(connections).toBe(1)
  })

  test('aborts the query of a node without querying the endpoint afterwards', async () => {
    const endpoint = await startEndpoint()
    const silentPort = await startServer((socket) => socket.resume())
    endpoint.nodes = [`${host}:${silentPort}`]
    const discovery = discover(endpoint.port, { timeoutMs: 600_000 })
    await discovery.ready()
    await clock.advance(2 * minuteMs)
    await discovery.close()
    expect(endpoint.queryCount).toBe(1)
  })

  test('stops polling', async () => {
    const endpoint = await startEndpoint()
    const discovery = discover(endpoint.port)
    await discovery.ready()
    await discovery.close()
    discovery.pollSoon()
    await clock.advance(10 * minuteMs)
    expect(endpoint.queryCount).toBe(1)
    expect(clock.sleeping).toBe(0)
  })

  test('prevents the first query', async () => {
    const lookup = vi.fn(async () => [])
    const discovery = discover(1, { lookup })
    await discovery.close()
    await expect(discovery.ready()).rejects.toMatchObject({ code: 'ERR_CACHE_CLOSED' })
    expect(lookup).not.toHaveBeenCalled()
  })
})

describe('the process', () => {
  /** Whether the process waits for a connection to this port before it ends. */
  const waitsFor = (server: { port: number }) => {
    const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles(): Socket[] }
    return handles.call(process).some(({ remotePort }) => remotePort === server.port)
  }

  test('waits for the first query, and for no other', async () => {
    const server = await startMemcached()
    onCleanup(() => server.stop())
    const discovery = discover(server.port, { lookup: async () => [{ address: host }] })
    server.kill('SIGSTOP')
    const ready = discovery.ready()
    await vi.waitFor(() => expect(waitsFor(server)).toBe(true), waitOptions)
    server.kill('SIGCONT')
    await ready
    server.kill('SIGSTOP')
    await clock.advance(minuteMs)
    await settle()
    expect(waitsFor(server)).toBe(false)
    server.kill('SIGCONT')
  })

  test('does not wait for the next poll', async () => {
    const endpoint = await startEndpoint()
    const discovery = discover(endpoint.port, { clock: undefined })
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout')
    const before = timers().length
    await discovery.ready()
    expect(timers().length).toBeLessThanOrEqual(before)
  })
})
