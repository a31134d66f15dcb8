import { tracing } from '@stowage/core'
import { BatchError } from '@stowage/core/driver'
import { describe, expect, test } from 'vitest'
import { gate } from '../../../core/test/remember/two-processes.ts'
import type { Connection } from '../../src/connection/connection.ts'
import { Dispatcher, type KeyGroup, throwFailures } from '../../src/nodes/dispatcher.ts'
import { fakeNode } from './fake-node.ts'

type Command = (connection: Connection) => Promise<unknown>

/** A node whose connection has its name. It is connected, or connects when a test lets it. */
function node(name: string, { isUp = true, connecting = Promise.resolve() as Promise<void> } = {}) {
  const connection = { name } as unknown as Connection
  const ways: string[] = []
  const connect = (way: string) => async () => {
    ways.push(way)
    await connecting
    return connection
  }
  const fake = fakeNode(name, {
    connection: isUp ? connection : undefined,
    connect: connect('connect'),
    reconnect: connect('reconnect'),
    connectMeta: (...args: unknown[]) => connect(`meta ${args.join()}`)(),
  })
  return Object.assign(fake, { ways, connection })
}

/** The keys begin with the name of their node. */
function setUp(
  nodes: readonly ReturnType<typeof node>[],
  ready: () => Promise<void> = async () => {},
) {
  const state = { nodes, readies: 0, closes: 0 }
  const dispatcher = new Dispatcher({
    get nodes() {
      return state.nodes.map((each) => each.node)
    },
    nodeFor: (key) => state.nodes.find(({ name }) => key.startsWith(name))?.node,
    ready: async () => {
      state.readies++
      await ready()
    },
    close: async () => {
      state.closes++
    },
  })
  return { dispatcher, state }
}

const nameOf: Command = async (connection) => (connection as unknown as { name: string }).name
const noNode = /memcached op failed: all nodes are down/

describe('a command for a key', () => {
  test('is sent at once on the connection of its node', async () => {
    const [a, b] = [node('a'), node('b')]
    const { dispatcher, state } = setUp([a, b])
    let isSent = false
    const result = dispatcher.send('op', 'b1', (connection) => {
      isSent = true
      return nameOf(connection)
    })
    expect(isSent).toBe(true)
    expect([await result, a.ways, b.ways, state.readies]).toEqual(['b', [], [], 0])
  })

  test('connects first', async () => {
    const a = node('a', { isUp: false })
    const { dispatcher, state } = setUp([a])
    expect(await dispatcher.send('op', 'a1', nameOf)).toBe('a')
    expect(await dispatcher.sendMeta('op', 'a1', nameOf)).toBe('a')
    expect([a.ways, state.readies]).toEqual([['connect', 'meta op,a1'], 0])
  })

  test('waits until the nodes are known', async () => {
    const { dispatcher, state } = setUp([], async () => {
      await new Promise(setImmediate)
      state.nodes = [node('a', { isUp: false })]
    })
    expect(await dispatcher.send('op', 'a1', nameOf)).toBe('a')
    expect(state.readies).toBe(1)
  })

  test('rejects without a node, or if it fails', async () => {
    const error = new Error('refused')
    const { dispatcher } = setUp([node('a', { isUp: false, connecting: Promise.reject(error) })])
    const unavailable = { code: 'ERR_CACHE_UNAVAILABLE', operation: 'op', key: 'a1', cause: error }
    await expect(dispatcher.send('op', 'a1', nameOf)).rejects.toMatchObject(unavailable)
    await expect(dispatcher.send('op', 'x1', nameOf)).rejects.toThrow(noNode)
    const up = setUp([node('a', { isUp: false })])
    const failing = up.dispatcher.send('op', 'a1', () => Promise.reject(error))
    await expect(failing).rejects.toMatchObject(unavailable)
  })
})

describe('a node that is removed while a command waits for its connection', () => {
  /** A node `a1` that cannot be connected, and a node `a` that is used in its place once it is removed. */
  function removing() {
    const refused = gate()
    const [old, next] = [node('a1', { isUp: false, connecting: refused.opened }), node('a')]
    const { dispatcher, state } = setUp([old, next])
    const remove = () => {
      state.nodes = [next]
      old.state = 'closed'
      refused.fail(new Error('refused'))
    }
    return { dispatcher, old, next, state, remove, refused }
  }

  test('is replaced by the one that has its keys then', async () => {
    const { dispatcher, old, remove } = removing()
    const sent: string[] = []
    const one = dispatcher.send('op', 'a1', nameOf)
    const many = dispatcher.sendGroups('op', ['a2', 'a11', 'a12'], async (connection, group) => {
      sent.push(`${await nameOf(connection)} ${group.keys} ${group.indexes}`)
      return new Map([[group.keys.length - 1, new Error(`no ${group.keys.at(-1)}`)]])
    })
    remove()
    expect(await one).toBe('a')
    expect([...((await many) ?? [])].map(([index]) => index)).toEqual([0, 2])
    expect([sent, old.ways]).toEqual([
      ['a a2 0', 'a a11,a12 1,2'],
      ['connect', 'connect'],
    ])
  })

  test('fails if it has no successor, or is still used', async () => {
    for (const isRemoved of [true, false]) {
      const { dispatcher, old, state, refused } = removing()
      const one = dispatcher.send('op', 'a1', nameOf)
      const many = dispatcher.sendGroups('op', ['a11'], async () => undefined)
      if (isRemoved) Object.assign(state, { nodes: [] })
      if (isRemoved) old.state = 'closed'
      refused.fail(new Error('refused'))
      await expect(one).rejects.toThrow(isRemoved ? noNode : 'refused')
      expect([...((await many) ?? []).keys()]).toEqual([0])
    }
  })
})

describe('a command for all nodes', () => {
  test('is sent to each, and a ping also to those that were down', async () => {
    const nodes = [node('a'), node('b', { isUp: false })]
    const { dispatcher, state } = setUp(nodes)
    const sent: unknown[] = []
    await dispatcher.broadcast('op', async (connection) => void sent.push(await nameOf(connection)))
    for (const { connection } of nodes)
      Object.assign(connection, { noop: async (name: string) => void sent.push(name) })
    await dispatcher.pingAll()
    expect(sent).toEqual(['a', 'b', 'ping', 'ping'])
    expect(nodes.map(({ ways }) => ways)).toEqual(Array(2).fill(['connect', 'reconnect']))
    expect(state.readies).toBe(0)
  })

  test('waits until the nodes are known, and rejects if they do not become known', async () => {
    const { dispatcher, state } = setUp([], async () => {
      await new Promise(setImmediate)
      state.nodes = [node('a')]
    })
    const sent: unknown[] = []
    await dispatcher.broadcast('op', async (connection) => void sent.push(await nameOf(connection)))
    expect([sent, state.readies]).toEqual([['a'], 1])
    const failing = setUp([], () => Promise.reject(new Error('no endpoint')))
    await expect(failing.dispatcher.broadcast('op', async () => {})).rejects.toMatchObject({
      ...{ code: 'ERR_CACHE_UNAVAILABLE', operation: 'op' },
    })
  })

  test('rejects when every node has replied', async () => {
    const replied = gate()
    const { dispatcher } = setUp([node('a'), node('b')])
    let isSettled = false
    const error = new Error('refused')
    const call = dispatcher
      .broadcast('op', async (connection) => {
        if ((await nameOf(connection)) === 'a') throw error
        await replied.opened
      })
      .finally(() => {
        isSettled = true
      })
    const outcome = call.catch((reason) => reason)
    await new Promise(setImmediate)
    expect(isSettled).toBe(false)
    replied.open()
    expect(await outcome).toMatchObject({ operation: 'op', cause: error })
  })
})

describe('a command for any node', () => {
  const down = (name: string) =>
    node(name, { connecting: Promise.reject(new Error(`${name} is down`)) })

  test('is sent to the first that replies', async () => {
    const [b, c] = [node('b'), node('c')]
    const { dispatcher, state } = setUp([down('a'), b, c])
    expect(await dispatcher.sendToAny('op', nameOf)).toBe('b')
    expect([c.ways, state.readies]).toEqual([[], 0])
    const replies: Command = async (connection) => {
      if ((await nameOf(connection)) === 'b') throw new Error('refused')
      return 'c'
    }
    expect(await dispatcher.sendToAny('op', replies)).toBe('c')
  })

  test('rejects with the first failure', async () => {
    const { dispatcher } = setUp([down('a'), down('b')])
    await expect(dispatcher.sendToAny('op', nameOf)).rejects.toThrow('op failed: a is down')
    const unknown = setUp([], () => Promise.reject(new Error('no endpoint')))
    await expect(unknown.dispatcher.sendToAny('op', nameOf)).rejects.toThrow('no endpoint')
  })

  test('waits until the nodes are known', async () => {
    const { dispatcher, state } = setUp([], async () => {
      await new Promise(setImmediate)
      state.nodes = [node('a')]
    })
    expect(await dispatcher.sendToAny('op', nameOf)).toBe('a')
  })
})

describe('a command for several keys', () => {
  test('is one command for each node, connected or not', async () => {
    const nodes = [node('a'), node('b', { isUp: false })]
    const { dispatcher } = setUp(nodes)
    const groups: [unknown, KeyGroup][] = []
    const keys = ['a1', 'b1', 'a2']
    const failures = await dispatcher.sendGroups('op', keys, async (connection, group) => {
      groups.push([await nameOf(connection), group])
      return undefined
    })
    expect(failures).toBeUndefined()
    expect(groups).toEqual([
      ['a', { keys: ['a1', 'a2'], indexes: [0, 2] }],
      ['b', { keys: ['b1'], indexes: [1] }],
    ])
    expect(nodes.map(({ ways }) => ways)).toEqual([[], ['connect']])
  })

  test('has the failures of its keys, by their index in the call', async () => {
    const down = node('down', { isUp: false, connecting: Promise.reject(new Error('refused')) })
    const { dispatcher } = setUp([node('a'), down])
    const keys = ['down1', 'a1', 'a2', 'none', 'down2']
    const failures = await dispatcher.sendGroups('op', keys, async () => {
      return new Map([[1, new Error('not stored')]])
    })
    expect([...(failures?.keys() ?? [])].sort()).toEqual([0, 2, 3, 4])
    expect(failures?.get(2)).toMatchObject({
      key: 'a2',
      message: expect.stringMatching(/not stored/),
    })
    expect(failures?.get(3)).toMatchObject({ key: 'none', message: expect.stringMatching(noNode) })
    expect(failures?.get(4)).toMatchObject({
      key: 'down2',
      message: expect.stringMatching(/refused/),
    })
  })

  test('waits until the nodes are known', async () => {
    const { dispatcher, state } = setUp([], async () => {
      await new Promise(setImmediate)
      state.nodes = [node('a')]
    })
    expect(await dispatcher.sendGroups('op', ['a1'], async () => undefined)).toBeUndefined()
    expect(state.readies).toBe(1)
    expect(await dispatcher.sendGroups('op', ['a1'], async () => undefined)).toBeUndefined()
    expect(state.readies).toBe(1)
    const failing = setUp([], () => Promise.reject(new Error('no endpoint')))
    const call = failing.dispatcher.sendGroups('op', ['a1'], async () => undefined)
    await expect(call).rejects.toMatchObject({
      operation: 'op',
      message: expect.stringMatching(/no endpoint/),
    })
  })

  test('reads the items of all nodes in the order of the keys', async () => {
    const getMany = (
      _: string,
      keys: readonly string[],
      read: (reply: unknown, index: number) => void,
    ) => {
      for (const [index, key] of keys.entries()) read(`item ${key}`, index)
      return Promise.resolve(undefined)
    }
    const nodes = [node('a'), node('b')]
    for (const { connection } of nodes) Object.assign(connection, { getMany })
    const results: unknown[] = []
    await setUp(nodes).dispatcher.getMany('op', ['b1', 'a1', 'b2'], results, (reply) => reply)
    expect(results).toEqual(['item b1', 'item a1', 'item b2'])
  })
})

test('close waits for the calls in flight, and closes the nodes then', async () => {
  const replied = gate()
  const { dispatcher, state } = setUp([node('a')])
  const call = dispatcher.broadcast('op', () => replied.opened)
  const closing = dispatcher.close()
  await new Promise(setImmediate)
  expect(state.closes).toBe(0)
  replied.open()
  await Promise.all([call, closing])
  expect(state.closes).toBe(1)
  const failing = dispatcher.track(Promise.reject(new Error('refused')))
  await expect(failing).rejects.toThrow('refused')
  await dispatcher.close()
  expect(state.closes).toBe(2)
})

test('close rejects if the nodes cannot be closed', async () => {
  const router = { nodes: [], close: () => Promise.reject(new Error('not closed')) }
  await expect(new Dispatcher(router as never).close()).rejects.toThrow('not closed')
})

test('requests are published if somebody subscribes to them', async () => {
  const { dispatcher } = setUp([node('a')])
  const events: unknown[] = []
  const start = (event: unknown) => void events.push(event)
  expect(await dispatcher.send('op', 'a1', nameOf)).toBe('a')
  tracing.store.start.subscribe(start)
  try {
    expect(await dispatcher.send('op', 'a1', nameOf)).toBe('a')
    await dispatcher.sendGroups('many', ['a1', 'a2'], async () => undefined)
  } finally {
    tracing.store.start.unsubscribe(start)
  }
  const event = { store: 'memcached', attempt: 1, server: 'a:11211', isInstrumented: false }
  expect(events).toMatchObject([
    { ...event, operation: 'op', keyCount: 1 },
    { ...event, operation: 'many', keyCount: 2 },
  ])
})

test('failures of some keys are one error with the outcome of each', () => {
  const keys = ['a', 'b']
  throwFailures('op', keys, undefined)
  throwFailures('op', keys, new Map())
  const failures = new Map([[1, new Error('not stored')]])
  let thrown: unknown
  try {
    throwFailures('op', keys, failures, ['of a'])
  } catch (error) {
    thrown = error
  }
  expect(thrown).toBeInstanceOf(BatchError)
  expect((thrown as BatchError).outcomes).toMatchObject([
    { status: 'fulfilled', value: 'of a' },
    { status: 'rejected', reason: { key: 'b', operation: 'op' } },
  ])
})
