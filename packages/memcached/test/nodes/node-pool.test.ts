import { channels } from '@stowage/core'
import { DeadlineError } from '@stowage/core/driver'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { gate } from '../../../core/test/remember/two-processes.ts'
import type { NodeAddress } from '../../src/node-address.ts'
import type { Node } from '../../src/nodes/node.ts'
import { NodePool } from '../../src/nodes/node-pool.ts'
import { mayUseOtherProtocol } from '../../src/nodes/protocol-choice.ts'
import { ProtocolMismatchError, ServerError, status } from '../../src/protocol/protocol.ts'

const address = (host: string, more: Partial<NodeAddress> = {}) => ({ host, port: 11211, ...more })
const addresses = (...hosts: string[]) => hosts.map((host) => address(host))

const create = () =>
  new NodePool('modula', {
    ...{ protocol: 'auto', retryIntervalMs: 1_000, timeoutMs: 1_000, connectTimeoutMs: 1_000 },
    onStateChange: () => {},
  })

let events: string[] = []
const listener = (event: unknown) => {
  const { change, server } = event as { change: string; server: string }
  events.push(`${change} ${server}`)
}
beforeEach(() => {
  events = []
  channels.topology.subscribe(listener)
})
afterEach(() => {
  channels.topology.unsubscribe(listener)
})

test('a pool without nodes has none for a key', () => {
  const pool = create()
  expect([pool.nodeFor('k'), pool.nodes, pool.placement]).toEqual([undefined, [], undefined])
})

test('each key has a node, and its index is the placement', () => {
  const pool = create()
  pool.replace(addresses('a', 'b', 'c'))
  const keys = Array.from({ length: 20 }, (_, index) => `k${index}`)
  expect(new Set(keys.map((key) => pool.nodeFor(key)))).toEqual(new Set(pool.nodes))
  expect(pool.placement?.nodeCount).toBe(3)
  for (const key of keys)
    expect(pool.nodes[pool.placement?.nodeOf(key) as number]).toBe(pool.nodeFor(key))
})

test('nodes that stay are kept, with their new weight, and changes are published', () => {
  const pool = create()
  pool.replace(addresses('a', 'b'))
  expect(events).toEqual([])
  const [a, b] = pool.nodes as [Node, Node]
  pool.replace([address('c'), address('a', { weight: 5 })])
  expect(events).toEqual(['removed b:11211', 'added c:11211'])
  expect([pool.nodes[1], pool.nodes.length]).toEqual([a, 2])
  expect([a.address.weight, a.state, b.state]).toEqual([5, 'idle', 'closed'])
})

test('a node with another IP address is another one, and an address that is listed twice is two', () => {
  const pool = create()
  pool.replace([address('a', { ip: '10.0.0.1' }), address('b')])
  const [a, b] = pool.nodes as [Node, Node]
  pool.replace([address('a', { ip: '10.0.0.2' }), address('b'), address('b')])
  const [next, same, twice] = pool.nodes as [Node, Node, Node]
  expect([next === a, same === b, twice === b]).toEqual([false, true, false])
  expect(a.state).toBe('closed')
})

test('a node that is added again has the deletes that were pending, once', () => {
  const pool = create()
  pool.replace(addresses('a', 'b'))
  const deletes = pool.nodes[1]?.pendingDeletes
  pool.replace(addresses('a'))
  pool.replace(addresses('a', 'c'))
  expect(pool.nodes[1]?.pendingDeletes).not.toBe(deletes)
  pool.replace(addresses('a', 'b'))
  expect(pool.nodes[1]?.pendingDeletes).toBe(deletes)
})

test('the deletes of the hundred nodes that were removed last are kept', () => {
  const pool = create()
  const others = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, index) => `other${from + index}`)
  const deletesOf = (host: string) => {
    pool.replace(addresses('a', host))
    const deletes = pool.nodes[1]?.pendingDeletes
    pool.replace(addresses('a'))
    return deletes
  }
  const b = deletesOf('b')
  pool.replace(addresses('a', ...others(0, 50)))
  const [first, second] = pool.nodes.slice(1).map(({ pendingDeletes }) => pendingDeletes)
  pool.replace(addresses('a'))
  // It counts as removed last now.
  expect(deletesOf('b')).toBe(b)
  pool.replace(addresses('a', ...others(50, 99)))
  pool.replace(addresses('a'))
  expect(deletesOf('other0')).toBe(first)
  pool.replace(addresses('a', ...others(99, 100)))
  pool.replace(addresses('a'))
  expect(deletesOf('other1')).not.toBe(second)
  expect(deletesOf('b')).toBe(b)
})

test('close waits for the nodes, and for those that were removed', async () => {
  const pool = create()
  pool.replace(addresses('a', 'b', 'c'))
  const [a, b, c] = pool.nodes as [Node, Node, Node]
  const gates = new Map([a, b, c].map((node) => [node, gate()] as const))
  for (const [node, { opened }] of gates) node.close = () => opened
  pool.replace(addresses('a', 'b'))
  pool.replace(addresses('a'))
  let isClosed = false
  const closing = pool.close().then(() => {
    isClosed = true
  })
  for (const node of [a, b, c]) {
    await new Promise(setImmediate)
    expect(isClosed).toBe(false)
    gates.get(node)?.open()
  }
  await closing
})

test.each<[string, Error, { connected: boolean; serverVersion: string }, boolean]>([
  ['invalid data', new ProtocolMismatchError('x'), { connected: false, serverVersion: '1' }, true],
  ['no reply', new Error('closed'), { connected: true, serverVersion: '' }, true],
  ['a late reply', new DeadlineError(), { connected: true, serverVersion: '' }, false],
  ['a lost connection', new Error('closed'), { connected: true, serverVersion: '1.6' }, false],
  ['no connection', new Error('refused'), { connected: false, serverVersion: '' }, false],
  [
    'an unknown command',
    serverError(status.unknownCommand),
    { connected: true, serverVersion: '1' },
    true,
  ],
  [
    'another refusal',
    serverError(status.unauthorized),
    { connected: true, serverVersion: '1' },
    false,
  ],
])('%s: the server may have another protocol', (_, reason, connection, expected) => {
  expect(mayUseOtherProtocol(connection as never, reason)).toBe(expected)
})

function serverError(code: number): ServerError {
  return new ServerError({ status: code, value: Buffer.from('refused') } as never)
}
