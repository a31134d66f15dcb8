import { Stalls } from '@stowage/test-servers'
import type { ConfigurationEndpoint } from '@stowage/testing'
import { describe, expect, test, vi } from 'vitest'
import { discoveryChannels } from '../../src/discovery/events.ts'
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
  registerHooks,
  shortTimeoutMs,
  startCluster,
  startEndpoint,
  waitForNodes,
  waitOptions,
} from './discovery-fixture.ts'

registerHooks()

async function startSingleNode(): Promise<ConfigurationEndpoint> {
  const [node] = await startCluster(1)
  return node as ConfigurationEndpoint
}

describe('a changed configuration', () => {
  test('is applied when nodes are added, removed and replaced', async () => {
    const endpoint = await startSingleNode()
    const { port } = endpoint
    const events = collectEvents(discoveryChannels.nodes)
    const discovery = discover(port)
    await discovery.ready()
    for (const ports of [
      [port, 2, 3],
      [port, 3],
      [port, 4, 5, 6],
    ]) {
      endpoint.scale(ports.map((each) => `${host}:${each}`))
      await advanceToNextPoll(endpoint)
      await waitForNodes(discovery, addresses(...ports))
    }
    expect(events.slice(1)).toMatchObject([
      { from: addresses(port), to: addresses(port, 2, 3), version: 2 },
      { from: addresses(port, 2, 3), to: addresses(port, 3), version: 3 },
      { from: addresses(port, 3), to: addresses(port, 4, 5, 6), version: 4 },
    ])
  })

  test('is applied when only the address of a node differs and the version is the same', async () => {
    const endpoint = await startEndpoint({ nodes: ['cache|127.0.0.1|1'], version: 5 })
    const discovery = discover(endpoint.port)
    await discovery.ready()
    endpoint.nodes = ['cache|127.0.0.2|1']
    await advanceToNextPoll(endpoint)
    await waitForNodes(discovery, [{ host: 'cache', ip: '127.0.0.2', port: 1 }])
  })

  test('is not applied when only the version differs, or when it is older than the last', async () => {
    const endpoint = await startSingleNode()
    const discovery = discover(endpoint.port)
    await discovery.ready()
    endpoint.version = 9
    await advanceToNextPoll(endpoint)
    endpoint.version = 8
    endpoint.nodes = ['stale:1']
    await advanceToNextPoll(endpoint)
    expect(nodeLists).toEqual([addresses(endpoint.port)])
  })

  test.each([
    ['malformed', { raw: 'NONSENSE\r\n' }],
    ['a list without nodes', { raw: 'CONFIG cluster 0 2\r\n9\n\r\nEND\r\n' }],
    ['a list with a duplicate node', { raw: 'CONFIG cluster 0 14\r\n9\na||1 a|b|1\n\r\nEND\r\n' }],
    ['a list with a malformed node', { raw: 'CONFIG cluster 0 9\r\n9\na||1 b\n\r\nEND\r\n' }],
    ['missing', 'none'],
    ['that of a server without a cluster', 'standalone'],
  ] as const)('is ignored when the reply is %s', async (_, reply) => {
    const endpoint = await startSingleNode()
    const failures = collectEvents(discoveryChannels.failed)
    const discovery = discover(endpoint.port, { timeoutMs: shortTimeoutMs })
    const nodes = await discovery.ready()
    endpoint.reply = reply
    await clock.advance(minuteMs)
    await vi.waitFor(() => expect(failures.length).toBe(1), waitOptions)
    expect(discovery.nodes).toBe(nodes)
    endpoint.reply = 'configuration'
    endpoint.scale([`${host}:${endpoint.port}`, 'b:2'])
    // The poll after a failure comes early.
    await vi.waitFor(() => expect(clock.sleeping).toBe(1), waitOptions)
    await clock.advance(1_000)
    await waitForNodes(discovery, [...nodes, { host: 'b', port: 2 }])
  })

  test.each(['the nodes', 'the endpoint'])(
    'with an older version is applied after three polls in a row of %s',
    async (queried) => {
      const endpoint = await startEndpoint({ version: 5 })
      // The plain memcached has no configuration, so the endpoint is queried after it.
      const port = queried === 'the nodes' ? endpoint.port : memcached.port
      const current = [`${host}:${port}`]
      const older = [...current, 'older:1']
      endpoint.nodes = current
      const discovery = discover(endpoint.port)
      await discovery.ready()
      for (const version of [4, 4, 5, 4, 4]) {
        endpoint.version = version
        endpoint.nodes = version === 4 ? older : current
        await advanceToNextPoll(endpoint)
        expect(nodeLists.length).toBe(1)
      }
      await advanceToNextPoll(endpoint)
      await waitForNodes(discovery, [...addresses(port), { host: 'older', port: 1 }])
      // One that is older still needs three polls again.
      endpoint.version = 3
      endpoint.nodes = current
      for (let poll = 0; poll < 2; poll++) await advanceToNextPoll(endpoint)
      expect(nodeLists.length).toBe(2)
      await advanceToNextPoll(endpoint)
      await waitForNodes(discovery, addresses(port))
    },
  )

  test('with an older version is not applied as long as one of the nodes has the current one', async () => {
    const members = await startCluster(4)
    const [first] = members as [ConfigurationEndpoint]
    const discovery = discover(first.port)
    const nodes = await discovery.ready()
    const current = [...first.nodes, 'new:1']
    first.scale(current)
    // Polls query the nodes in rotation, so at most three in a row return the older version.
    await vi.waitFor(async () => {
      await advanceToNextPoll(...members)
      expect(discovery.nodes?.length).toBe(nodes.length + 1)
    }, waitOptions)
    for (let poll = 0; poll < 12; poll++) await advanceToNextPoll(...members)
    expect(nodeLists.length).toBe(2)
    // The cluster was restored from a backup: all nodes return an older version.
    first.version = 0
    first.nodes = ['older:1', ...nodes.map(({ port }) => `${host}:${port}`)]
    for (const member of members.slice(1)) {
      member.version = 0
      member.nodes = first.nodes
    }
    for (let poll = 0; poll < 6; poll++) await advanceToNextPoll(...members)
    expect(nodeLists.length).toBe(3)
  })

  test('is queried early, and once, after pollSoon()', async () => {
    const endpoint = await startSingleNode()
    const discovery = discover(endpoint.port)
    await discovery.ready()
    endpoint.scale([`${host}:${endpoint.port}`, 'b:2'])
    for (let i = 0; i < 10; i++) discovery.pollSoon()
    await clock.advance(999)
    expect(endpoint.queryCount).toBe(1)
    await clock.advance(1)
    await vi.waitFor(() => expect(nodeLists.length).toBe(2), waitOptions)
    expect(endpoint.queryCount).toBe(2)
  })
})

describe('a poll', () => {
  test('queries the nodes in rotation', async () => {
    const members = await startCluster(3)
    const discovery = discover(members[0]?.port as number)
    await discovery.ready()
    const before = members.map(({ queryCount }) => queryCount)
    for (let i = 0; i < 6; i++) await advanceToNextPoll(...members)
    expect(members.map(({ queryCount }, i) => queryCount - (before[i] as number))).toEqual([
      2, 2, 2,
    ])
  })

  test('queries another node when one has not replied within a quarter of the timeout', async () => {
    const [silent, other] = (await startCluster(2)) as [
      ConfigurationEndpoint,
      ConfigurationEndpoint,
    ]
    const timeoutMs = 4_000
    const discovery = discover(silent.port, { timeoutMs })
    await discovery.ready()
    silent.reply = 'none'
    other.scale([`${host}:${other.port}`])
    const stalls = new Stalls()
    await clock.advance(minuteMs)
    await waitForNodes(discovery, addresses(other.port))
    expect(silent.queryCount).toBe(2)
    stalls.stop()
    expect(stalls.runningMs).toBeLessThan(timeoutMs)
  })

  test('looks up the endpoint when no node replies, and accepts any version from it', async () => {
    const nodes = ['gone|127.0.0.1|1', 'gone|127.0.0.1|2']
    const { port } = await startEndpoint({ nodes, version: 9 })
    const replacement = await startEndpoint({
      host: '127.0.0.2',
      port,
      nodes: ['new:1'],
      version: 2,
    })
    let address = '127.0.0.1'
    const lookup = vi.fn(async () => [{ address }])
    const discovery = discover(port, { endpoint: { host: 'cache.invalid', port }, lookup })
    await discovery.ready()
    address = '127.0.0.2'
    await advanceToNextPoll(replacement)
    await waitForNodes(discovery, [{ host: 'new', port: 1 }])
    expect(lookup).toHaveBeenCalledTimes(2)
  })
})
