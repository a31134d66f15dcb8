import { startMemcached } from '@stowage/test-servers'
import { configurationEndpoint } from '@stowage/testing'
import { expect, onTestFinished, test, vi } from 'vitest'
import { gate, settle } from '../../../core/test/remember/two-processes.ts'
import { Discovery } from '../../src/discovery/discovery.ts'
import { type MemcachedOptions, resolveOptions } from '../../src/memcached-options.ts'
import { Cluster } from '../../src/nodes/cluster.ts'
import type { Node } from '../../src/nodes/node.ts'
import { NodePool } from '../../src/nodes/node-pool.ts'

function create(options: MemcachedOptions) {
  const cluster = new Cluster(resolveOptions({ timeout: '5s', retryInterval: '50ms', ...options }))
  onTestFinished(() => cluster.close())
  return cluster
}

async function startNode() {
  const node = await startMemcached()
  onTestFinished(node.stop)
  return node
}

async function startEndpoint(nodes: readonly string[]) {
  const endpoint = await configurationEndpoint({ nodes })
  onTestFinished(() => endpoint.stop())
  return { endpoint, address: `127.0.0.1:${endpoint.port}` }
}

const portsOf = ({ nodes }: Cluster) => nodes.map(({ address }) => address.port)

test('the nodes are those of the option, at once', async () => {
  const cluster = create({ servers: ['a:1', 'b:2'] })
  expect(portsOf(cluster)).toEqual([1, 2])
  expect(cluster.placement?.nodeCount).toBe(2)
  expect(cluster.nodes).toContain(cluster.nodeFor('k'))
  expect(await cluster.ready()).toBeUndefined()
})

test('the nodes are those of the endpoint, once it has replied', async () => {
  const { address, endpoint } = await startEndpoint(['a:1', 'b:2'])
  const cluster = create({ configurationEndpoint: address, pollInterval: '50ms' })
  const lists: unknown[] = []
  cluster.onNodesChange(() => lists.push(portsOf(cluster)))
  expect([cluster.nodes, cluster.nodeFor('k'), cluster.placement]).toEqual([
    [],
    undefined,
    undefined,
  ])
  await cluster.ready()
  expect(lists).toEqual([[1, 2]])
  endpoint.scale(['c:3'])
  await expect.poll(() => lists).toEqual([[1, 2], [3]])
})

test('a node that has connected is reported, and one that is down causes an early poll', async () => {
  const [server, pollSoon] = [await startNode(), vi.spyOn(Discovery.prototype, 'pollSoon')]
  onTestFinished(() => pollSoon.mockRestore())
  const { address } = await startEndpoint([server.address])
  const cluster = create({ configurationEndpoint: address })
  const reported: Node[] = []
  await cluster.ready()
  const [node] = cluster.nodes as [Node]
  await node.connect()
  cluster.onNodeUp((each) => reported.push(each))
  expect([pollSoon.mock.calls.length, reported.length]).toEqual([0, 0])
  await server.stop()
  await expect.poll(() => node.connect().then(String, () => node.state)).toBe('down')
  expect(reported).toEqual([])
  expect(pollSoon).toHaveBeenCalled()
  const restarted = await server.restart()
  onTestFinished(restarted.stop)
  await expect.poll(() => reported.length).toBe(1)
  expect(reported[0] === node).toBe(true)
})

test('a query of the endpoint may take as long as a connection and a request together', async () => {
  const { address, endpoint } = await startEndpoint(['a:1'])
  endpoint.reply = 'none'
  const timing = { timeout: '250ms', connectTimeout: '350ms' } as const
  const cluster = create({ configurationEndpoint: address, ...timing })
  const startedAt = performance.now()
  await expect(cluster.ready()).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  // A timer may fire a millisecond early.
  expect(performance.now() - startedAt).toBeGreaterThan(590)
})

test('close ends the polls before it closes the nodes', async () => {
  const { address } = await startEndpoint(['a:1'])
  const cluster = create({ configurationEndpoint: address })
  await cluster.ready()
  const [discovery, nodes] = [gate(), gate()]
  const closings = [
    vi.spyOn(Discovery.prototype, 'close').mockReturnValue(discovery.opened),
    vi.spyOn(NodePool.prototype, 'close').mockReturnValue(nodes.opened),
  ]
  let isClosed = false
  const closing = cluster.close().then(() => {
    isClosed = true
  })
  const calls = () => closings.map(({ mock }) => mock.calls.length)
  await settle()
  expect(calls()).toEqual([1, 0])
  discovery.open()
  await settle()
  expect([calls(), isClosed]).toEqual([[1, 1], false])
  nodes.open()
  await closing
  for (const spy of closings) spy.mockRestore()
})
