import { describe, expect, test } from 'vitest'
import type { Connection } from '../../src/connection/connection.ts'
import { HealthyNodes } from '../../src/nodes/healthy-nodes.ts'
import type { Node } from '../../src/nodes/node.ts'
import { FailoverKeys } from '../../src/nodes/node-failover.ts'
import { PendingDeletes } from '../../src/nodes/pending-deletes.ts'
import { fakeNode } from './fake-node.ts'

describe('keys that are stored on another node than their own', () => {
  function setUp() {
    const [a, b] = [fakeNode('a'), fakeNode('b')]
    const owners = new Map<string, Node>()
    const keys = new FailoverKeys({ nodeFor: (key: string) => owners.get(key) } as never)
    return { a, b, owners, keys }
  }

  test('are deleted from the node before', () => {
    const { a, b, keys } = setUp()
    keys.move('k', a.node)
    keys.move('k', a.node)
    expect(a.deleted).toEqual([])
    keys.move('k', b.node)
    expect([a.deleted, b.deleted]).toEqual([['k'], []])
    keys.move('k', undefined)
    keys.move('k', a.node)
    expect([a.deleted, b.deleted]).toEqual([['k'], ['k']])
  })

  test('are known for ten thousand keys, those that were moved last', () => {
    const { a, keys } = setUp()
    for (let key = 0; key < 10_000; key++) keys.move(`k${key}`, a.node)
    keys.move('k0', a.node)
    expect(a.deleted).toEqual([])
    keys.move('another', a.node)
    expect(a.deleted).toEqual(['k1'])
  })

  test('are deleted when their own node returns', () => {
    const { a, b, owners, keys } = setUp()
    for (const key of ['of b', 'of another']) keys.move(key, a.node)
    owners.set('of b', b.node)
    keys.onNodeUp(b.node)
    keys.onNodeUp(b.node)
    expect(a.deleted).toEqual(['of b'])
  })

  test('are deleted when the nodes change, unless their node is down, or stores them', () => {
    const { a, b, owners, keys } = setUp()
    const down = fakeNode('down')
    down.state = 'down'
    for (const key of ['of a', 'of b', 'of none', 'of down']) keys.move(key, a.node)
    owners.set('of a', a.node).set('of b', b.node).set('of down', down.node)
    keys.onNodesChange()
    expect(a.deleted).toEqual(['of b', 'of none'])
    keys.move('of a', b.node)
    expect(a.deleted).toEqual(['of b', 'of none'])
    keys.move('of down', undefined)
    expect(a.deleted).toEqual(['of b', 'of none', 'of down'])
  })
})

describe('healthy nodes', () => {
  function setUp(names: readonly string[]) {
    let addresses = 0
    const nodes = names.map((name) => {
      const fake = fakeNode(name)
      Object.defineProperty(fake.node, 'address', {
        get: () => {
          addresses++
          return { host: name, port: 11211 }
        },
      })
      return fake
    })
    const cluster = { nodes: nodes.map(({ node }) => node) }
    return {
      nodes,
      cluster,
      healthy: new HealthyNodes(cluster as never, 'modula'),
      rings: () => addresses,
    }
  }
  const keys = Array.from({ length: 20 }, (_, index) => `k${index}`)

  test('have a ring of their own, which is built again when they change', async () => {
    const { nodes, healthy, rings } = setUp(['a', 'b', 'c'])
    const owners = () => new Set(keys.map((key) => healthy.nodeFor(key)))
    expect(owners()).toEqual(new Set(nodes.map(({ node }) => node)))
    expect(rings()).toBe(3)
    const [a, b, c] = nodes as [(typeof nodes)[0], (typeof nodes)[0], (typeof nodes)[0]]
    c.state = 'down'
    expect(owners()).toEqual(new Set([a.node, b.node]))
    expect(healthy.nodes).toEqual([a.node, b.node])
    expect(rings()).toBe(5)
    b.state = 'down'
    c.state = 'connecting'
    expect(owners()).toEqual(new Set([a.node, c.node]))
    expect(rings()).toBe(7)
    expect(await healthy.ready()).toBeUndefined()
    expect(await healthy.close()).toBeUndefined()
  })

  test('are replaced one by one', () => {
    const { cluster, healthy, nodes } = setUp(['a', 'b'])
    healthy.nodeFor('k')
    const [a, b] = nodes.map(({ node }) => node) as [Node, Node]
    for (const list of [[b, a], [a], [a, b, fakeNode('c').node]]) {
      cluster.nodes = list
      expect(new Set(keys.map((key) => healthy.nodeFor(key)))).toEqual(new Set(list))
    }
  })

  test('may be none', async () => {
    const { nodes, healthy } = setUp(['a'])
    for (const each of nodes) each.state = 'down'
    expect(healthy.nodeFor('k')).toBeUndefined()
    await expect(healthy.ready()).rejects.toThrow('all nodes are down')
  })
})

describe('pending deletes', () => {
  /** A connection that records its commands, until there are too many. */
  function setUp() {
    const calls: (readonly string[] | string)[] = []
    const state: { during?: () => void; error?: Error; failure?: Error } = {}
    const reply = async (call: readonly string[] | string) => {
      calls.push(call)
      if (calls.length > 10) throw new Error('too many commands')
      await new Promise(setImmediate)
      state.during?.()
      state.during = () => {}
      if (state.error !== undefined) throw state.error
      return state.failure && new Map([[0, state.failure]])
    }
    const connection = {
      deleteMany: (_: string, keys: readonly string[]) => reply(keys),
      flushAll: () => reply('flush'),
    } as unknown as Connection
    return { calls, state, connection, deletes: new PendingDeletes() }
  }

  test('are sent once, with those that are added meanwhile', async () => {
    const { calls, state, connection, deletes } = setUp()
    await deletes.send(connection)
    expect(calls).toEqual([])
    for (const key of ['a', 'b', 'a']) deletes.add(key)
    state.during = () => {
      for (const key of ['b', 'c']) deletes.add(key)
    }
    const sending = deletes.send(connection)
    expect(deletes.send(connection)).toBe(sending)
    await sending
    expect(calls).toEqual([
      ['a', 'b'],
      ['b', 'c'],
    ])
    deletes.add('d')
    await deletes.send(connection)
    expect(calls[2]).toEqual(['d'])
  })

  test('stay pending if they fail', async () => {
    const { calls, state, connection, deletes } = setUp()
    deletes.add('a')
    state.error = new Error('no reply')
    await expect(deletes.send(connection)).rejects.toBe(state.error)
    state.failure = new Error('refused')
    delete state.error
    await expect(deletes.send(connection)).rejects.toBe(state.failure)
    delete state.failure
    await deletes.send(connection)
    await deletes.send(connection)
    expect(calls).toEqual([['a'], ['a'], ['a']])
  })

  test('are a flush if there are too many', async () => {
    const { calls, state, connection, deletes } = setUp()
    for (let key = 0; key <= 100_000; key++) deletes.add(`k${key}`)
    state.during = () => deletes.add('k0')
    await deletes.send(connection)
    expect(calls).toEqual(['flush', ['k0']])
  })
})
