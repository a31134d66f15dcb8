import { CacheError } from '@stowage/core'
import { BatchError, type ByteStore } from '@stowage/core/driver'
import { describe, expect, test } from 'vitest'
import { gate } from '../../../core/test/remember/two-processes.ts'
import { NodeFailover } from '../../src/nodes/node-failover.ts'
import { type FakeNode, fakeNode } from './fake-node.ts'

const errorOf = (code: 'ERR_CACHE_UNAVAILABLE' | 'ERR_CACHE_LIMIT') =>
  new CacheError(code, code, { store: 'memcached', operation: 'x' })
const unreachable = errorOf('ERR_CACHE_UNAVAILABLE')
const tooLarge = errorOf('ERR_CACHE_LIMIT')

/** A store whose calls fail, in front of one on other nodes. `own` is the node of all keys. */
function setUp({ hasFallback = true } = {}) {
  const [own, other, third] = [fakeNode('own'), fakeNode('other'), fakeNode('third')]
  const calls: unknown[] = []
  const state = {
    error: unreachable as unknown,
    fallbackError: undefined as unknown,
    fallbackReply: Promise.resolve(),
    healthy: other,
  }
  const failing = async () => {
    if (state.error !== undefined) throw state.error
    return 'own result'
  }
  const names = ['get', 'getMany', 'getWithTtl', 'set', 'setMany', 'add', 'touch', 'delete']
  const store = Object.fromEntries([...names, 'deleteMany', 'ping'].map((name) => [name, failing]))
  const found: Record<string, unknown> = { a: 'of a' }
  const reply = async (call: unknown[], result: unknown) => {
    calls.push(call)
    await state.fallbackReply
    if (state.fallbackError !== undefined) throw state.fallbackError
    return result
  }
  const fallback = {
    get: (key: string) => reply(['get', key], found[key]),
    set: (...args: unknown[]) => reply(['set', ...args], undefined),
    touch: (...args: unknown[]) => reply(['touch', ...args], true),
    delete: (key: string) => reply(['delete', key], key === 'a'),
  }
  const healthy = { nodes: [] as unknown[], nodeFor: () => state.healthy.node }
  const failover = new NodeFailover(
    { ...store, name: 'memcached' } as unknown as ByteStore,
    { nodeFor: () => own.node } as never,
    healthy as never,
    hasFallback ? (fallback as unknown as ByteStore) : undefined,
  )
  return { failover, store: failover.store, calls, state, own, other, third, healthy }
}

const deletedOf = (...nodes: FakeNode[]) => nodes.map(({ deleted }) => deleted)

describe('while the node of a key is unreachable', () => {
  test('reads use another node', async () => {
    const { store, calls } = setUp()
    expect(await store.get('a')).toBe('of a')
    expect(await store.getMany(['a', 'x'])).toEqual(['of a', undefined])
    expect(await store.getWithTtl?.(['a', 'x'])).toEqual([{ item: 'of a', ttl: 1 }, undefined])
    expect(calls).toHaveLength(5)
  })

  test('writes store for at most a minute, and delete the value of the node before', async () => {
    const { store, calls, state, own, other, third } = setUp()
    for (const ttl of [undefined, 1_000, 3_600_000]) await store.set('a', 'v', ttl)
    expect(calls).toEqual([60_000, 1_000, 60_000].map((ttl) => ['set', 'a', 'v', ttl]))
    expect(deletedOf(own, other)).toEqual([['a', 'a', 'a'], []])
    state.healthy = third
    await store.setMany([['a', 'w']], 500)
    expect(calls.at(-1)).toEqual(['set', 'a', 'w', 500])
    expect(deletedOf(own, other, third)).toEqual([['a', 'a', 'a', 'a'], ['a'], []])
  })

  test('deletes and touches reach the other node, and the own one later; a touch lasts a minute at most', async () => {
    const { store, calls, state, own, other, third } = setUp()
    await store.set('a', 'v')
    state.healthy = third
    expect([await store.delete('a'), await store.delete('x')]).toEqual([true, false])
    expect(await store.deleteMany(['a', 'x', 'a'])).toBe(1)
    expect(await store.touch('a', 5)).toBe(true)
    expect(calls.at(-1)).toEqual(['touch', 'a', 5])
    for (const ttl of [undefined, 3_600_000]) await store.touch('b', ttl)
    expect(calls.slice(-2)).toEqual([
      ['touch', 'b', 60_000],
      ['touch', 'b', 60_000],
    ])
    expect(calls.slice(1, 3)).toEqual([
      ['delete', 'a'],
      ['delete', 'x'],
    ])
    const ownDeletes = ['a', 'a', 'x', 'a', 'x', 'a', 'a', 'b', 'b']
    expect(deletedOf(own, other, third)).toEqual([ownDeletes, ['a'], []])
  })

  test('what may have reached the other node is deleted there', async () => {
    const { store, state, other, failover, own } = setUp()
    state.fallbackError = unreachable
    expect(await store.set('a', 'v')).toBeUndefined()
    expect(await store.delete('b')).toBe(false)
    expect([await store.get('c'), await store.touch('d')]).toEqual([undefined, false])
    expect(new Set(other.deleted)).toEqual(new Set(['a', 'b']))
    // Nothing is left of it when the node returns.
    const before = other.deleted.length
    failover.onNodeUp(own.node)
    expect(other.deleted).toHaveLength(before)
  })

  test('what may have reached a node after the key had moved on is deleted there', async () => {
    const { store, state, other, third } = setUp()
    const failed = gate()
    state.fallbackReply = failed.opened
    const writing = store.set('a', 'v')
    await new Promise(setImmediate)
    state.healthy = third
    state.fallbackReply = Promise.resolve()
    await store.set('a', 'w')
    expect(deletedOf(other, third)).toEqual([['a'], []])
    failed.fail(unreachable)
    await writing
    expect(deletedOf(other, third)).toEqual([['a', 'a'], ['a']])
  })

  test('other errors of the other node are thrown', async () => {
    const { store, state, other } = setUp()
    state.fallbackError = tooLarge
    await expect(store.set('a', 'v')).rejects.toBe(tooLarge)
    expect(other.deleted).toEqual([])
  })

  test('calls are misses without another store', async () => {
    const { store, own, other } = setUp({ hasFallback: false })
    expect([await store.get('a'), await store.getMany(['a'])]).toEqual([undefined, [undefined]])
    expect(await store.set('a', 'v')).toBeUndefined()
    expect([await store.delete('a'), await store.touch('a')]).toEqual([false, false])
    expect(await store.deleteMany(['a'])).toBe(0)
    expect(deletedOf(own, other)).toEqual([['a', 'a', 'a', 'a'], []])
  })

  test('what other nodes have stored is deleted when the node returns, or the nodes change', async () => {
    const { store, other, failover, own } = setUp()
    await store.set('a', 'v')
    failover.onNodeUp(own.node)
    expect(other.deleted).toEqual(['a'])
    await store.set('b', 'v')
    failover.onNodesChange()
    expect(other.deleted).toEqual(['a', 'b'])
  })

  test('a call that is not safe fails', async () => {
    const { store, calls } = setUp()
    await expect(store.add('a', 'v')).rejects.toBe(unreachable)
    expect(calls).toEqual([])
  })
})

describe('a call with another outcome', () => {
  test('is left alone', async () => {
    const { store, state, calls, own } = setUp()
    state.error = tooLarge
    await expect(store.get('a')).rejects.toBe(tooLarge)
    await expect(store.set('a', 'v')).rejects.toBe(tooLarge)
    state.error = undefined
    expect([await store.get('a'), await store.add('a', 'v')]).toEqual(['own result', 'own result'])
    expect([calls, own.deleted]).toEqual([[], []])
  })

  test('of each key is completed where its node is unreachable', async () => {
    const { store, state, calls } = setUp()
    const rejected = { status: 'rejected', reason: unreachable } as const
    state.error = new BatchError([{ status: 'fulfilled', value: 'own' }, rejected, rejected])
    expect(await store.getMany(['o', 'a', 'x'])).toEqual(['own', 'of a', undefined])
    expect(calls).toEqual([
      ['get', 'a'],
      ['get', 'x'],
    ])
  })

  test('of each key is thrown if one has failed for another reason', async () => {
    const { store, state, calls } = setUp()
    state.error = new BatchError([
      { status: 'fulfilled', value: 'own' },
      { status: 'rejected', reason: tooLarge },
      { status: 'rejected', reason: unreachable },
    ])
    const error = await Promise.resolve(store.getMany(['o', 'l', 'a'])).catch((reason) => reason)
    expect(error).toBeInstanceOf(BatchError)
    expect(error.outcomes).toEqual([
      { status: 'fulfilled', value: 'own' },
      { status: 'rejected', reason: tooLarge },
      { status: 'fulfilled', value: 'of a' },
    ])
    expect(calls).toEqual([['get', 'a']])
    state.error = new BatchError([
      { status: 'fulfilled', value: 'own' },
      { status: 'rejected', reason: tooLarge },
    ])
    await expect(store.getMany(['o', 'l'])).rejects.toBe(state.error)
    state.error = unreachable
    state.fallbackError = tooLarge
    await expect(store.setMany([['a', 'v']])).rejects.toMatchObject({ code: 'ERR_CACHE_LIMIT' })
  })
})

describe('ping', () => {
  const nodeWith = (noop: () => Promise<void>) =>
    fakeNode('n', { connect: async () => ({ noop }) }).node

  test('succeeds if one healthy node replies', async () => {
    const { store, healthy } = setUp()
    await expect(store.ping()).rejects.toBe(unreachable)
    const failing = nodeWith(() => Promise.reject(new Error('refused')))
    healthy.nodes = [failing]
    await expect(store.ping()).rejects.toBe(unreachable)
    healthy.nodes = [failing, nodeWith(async () => {})]
    expect(await store.ping()).toBeUndefined()
  })

  test('fails with another error, and asks no other node if all reply', async () => {
    const { store, healthy, state } = setUp()
    let pings = 0
    healthy.nodes = [nodeWith(async () => void pings++)]
    state.error = tooLarge
    await expect(store.ping()).rejects.toBe(tooLarge)
    state.error = undefined
    expect(await store.ping()).toBeUndefined()
    expect(pings).toBe(0)
  })
})
