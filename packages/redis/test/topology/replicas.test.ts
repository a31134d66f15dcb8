import { setTimeout as sleep } from 'node:timers/promises'
import { redis } from '@stowage/redis'
import { command, startProxy, variantGroups } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { countReads, waitUntilReplicated, waitUntilServed } from '../helpers.ts'
import { replicatedServers } from './replicated-servers.ts'

type Store = ReturnType<typeof redis>

const servers = replicatedServers()
const { links, replicaPorts, createStore, muteLinkOf } = servers

async function countReplicaReads(): Promise<number> {
  return countReads(...replicaPorts())
}

describe('a primary and two replicas', () => {
  // Patient: a busy machine must not make a call fail.
  conform(test, () => createStore({ maxValueBytes: 1_048_576, timeout: '20s' }), {
    wait: async (ms) => sleep(ms),
    groups: variantGroups,
  })
})

describe('a read after a write of the same process', () => {
  test('is never older with 20 ms of lag; replicas serve most reads', async () => {
    for (const link of links) link.delay(20, 'replies')
    const store = createStore()
    const primaryBefore = await countReads(servers.primary.port)
    const replicasBefore = await countReplicaReads()
    let stale = 0
    const work = async (worker: number) => {
      const check = async (value: string) => {
        if (String(await store.get(`key ${worker}`)) !== value) stale++
      }
      for (let request = 0; request < 20; request++) {
        const value = `${request}`
        await store.set(`key ${worker}`, value)
        await check(value)
        for (let page = 1; page < 10; page++) await store.get(`page ${(worker * 7 + page) % 50}`)
        await check(value)
      }
    }
    await Promise.all(Array.from({ length: 32 }, (_, worker) => work(worker)))
    expect(stale).toBe(0)
    const onPrimary = (await countReads(servers.primary.port)) - primaryBefore
    expect((await countReplicaReads()) - replicasBefore).toBeGreaterThan(onPrimary)
  })

  test('is served by a replica again once it has the write', async () => {
    const store = createStore()
    await store.set('k', 'new')
    await waitUntilServed(replicaPorts(), async () => {
      expect(String(await store.get('k'))).toBe('new')
    })
  })

  test.each([
    ['set', async (store: Store) => store.set('x', 'after')],
    ['setMany', async (store: Store) => store.setMany([['x', 'after']], 60_000)],
    ['compareAndSet', async (store: Store) => store.compareAndSet('x', 'before', 'after')],
  ])('is not older after %s while replication is stopped', async (_, write) => {
    const store = createStore()
    await store.set('x', 'before')
    await store.get('x')
    for (const link of links) link.mute(true)
    await write(store)
    for (let read = 0; read < 10; read++) expect(String(await store.get('x'))).toBe('after')
    await store.delete('x')
    expect(await store.get('x')).toBeUndefined()
    await store.set('y', '1')
    await store.clear()
    expect(await store.getMany(['x', 'y'])).toEqual([undefined, undefined])
  })

  test('returns to each key its own value if a key that was just written is repeated', async () => {
    const store = createStore()
    await store.setMany([
      ['alice', 'a'],
      ['bob', 'b'],
    ])
    for (const [key, value] of [['alice', 'a'] as const, ['bob', 'b'] as const])
      await waitUntilReplicated(key, value, ...replicaPorts())
    await waitUntilServed(replicaPorts(), () => store.getMany(['alice', 'bob']))
    for (const link of links) link.mute(true)
    const expectOwnValues = async (keys: string[]) => {
      const values = (await store.getMany(keys)).map(String)
      expect(values).toEqual(keys.map((key) => key[0]))
    }
    await store.set('alice', 'a')
    await expectOwnValues(['alice', 'alice', 'bob'])
    await store.set('bob', 'b')
    await expectOwnValues(['alice', 'alice', 'bob'])
    await expectOwnValues(['bob', 'bob', 'alice', 'bob'])
  })

  test('goes to the primary alone: replicas serve the other keys of the batch', async () => {
    const store = createStore()
    const old = ['a', 'b', 'c', 'd']
    await store.setMany(old.map((key) => [key, 'v'] as const))
    for (const key of old) await waitUntilReplicated(key, 'v', ...replicaPorts())
    await waitUntilServed(replicaPorts(), () => store.getMany(old))
    for (const link of links) link.mute(true)
    await store.set('c', 'new')
    const primary = await countReads(servers.primary.port)
    const replicas = await countReplicaReads()
    const items = await store.getMany([...old, 'c', 'missing'])
    expect(items.map((item) => item && String(item))).toEqual([
      'v',
      'v',
      'new',
      'v',
      'new',
      undefined,
    ])
    expect(await countReads(servers.primary.port)).toBe(primary + 1)
    expect(await countReplicaReads()).toBe(replicas + 1)
  })

  test('may be older with eventual consistency', async () => {
    const store = createStore({ consistency: 'eventual' })
    await store.set('k', 'old')
    await waitUntilReplicated('k', 'old', ...replicaPorts())
    await waitUntilServed(replicaPorts(), () => store.get('k'))
    for (const link of links) link.mute(true)
    await store.set('k', 'new')
    expect(String(await store.get('k'))).toBe('old')
  })

  test('is served by the primary with strong consistency', async () => {
    const store = createStore({ consistency: 'strong' })
    await store.set('k', 'v')
    const before = await countReplicaReads()
    for (let read = 0; read < 20; read++) await store.get('k')
    expect(await countReplicaReads()).toBe(before)
  })
})

test('replicas that are given as URLs serve the database of the primary', async () => {
  const store = redis({
    url: `${servers.primary.url}/3`,
    replicas: replicaPorts().map((port) => `redis://127.0.0.1:${port}`),
    readFrom: 'replica',
    consistency: 'eventual',
    timeout: '10s',
  })
  await store.set('k', 'in database 3')
  await waitUntilServed(replicaPorts(), async () => {
    expect(String(await store.get('k'))).toBe('in database 3')
  })
  await store.close()
})

test('a read on a replica does not return what a later call of the same key writes', async () => {
  const proxies = await Promise.all(replicaPorts().map((port) => startProxy(port)))
  const replicas = proxies.map(({ port }) => `127.0.0.1:${port}`)
  const store = createStore({ replicas, timeout: '30s' })
  await store.set('k', 'before')
  await waitUntilReplicated('k', 'before', ...replicaPorts())
  await waitUntilServed(replicaPorts(), () => store.get('k'))
  for (const proxy of proxies) proxy.mute(true, 'requests')
  const read = store.get('k')
  const write = store.set('k', 'after')
  // The second one is sent after the write, on its connection, if the write does not wait for the read.
  for (let ping = 0; ping < 2; ping++) await store.ping()
  await command(servers.primary.port, 'SET', 'marker', '1')
  await waitUntilReplicated('marker', '1', ...replicaPorts())
  for (const proxy of proxies) proxy.mute(false)
  expect(String(await read)).toBe('before')
  await write
  await store.close()
  for (const proxy of proxies) await proxy.stop()
})

describe('a replica that fails', () => {
  test('fails no call: the primary serves the read', async () => {
    const store = createStore({ timeout: '4s' })
    await store.set('k', 'v')
    for (const { kill } of servers.replicas) kill('SIGSTOP')
    for (let read = 0; read < 20; read++) expect(String(await store.get('k'))).toBe('v')
    const before = await countReads(servers.primary.port)
    await store.get('k')
    expect(await countReads(servers.primary.port)).toBe(before + 1)
  })

  test('and is replaced by another one at its address is skipped until that one is caught up', async () => {
    const [first, second] = replicaPorts() as [number, number]
    const proxy = await startProxy(first)
    const store = createStore({ replicas: [`127.0.0.1:${proxy.port}`] })
    await store.set('k', 'old')
    await waitUntilReplicated('k', 'old', first, second)
    await muteLinkOf(second)
    await store.set('k', 'new')
    await waitUntilServed([first], () => store.get('k'))
    proxy.retarget(second)
    proxy.cut()
    for (let read = 0; read < 100; read++) {
      expect(String(await store.get('k'))).toBe('new')
      await sleep(2)
    }
    for (const link of links) link.mute(false)
    await waitUntilServed([second], () => store.get('k'))
    await store.close()
    await proxy.stop()
  })
})

test.each(['banana:port', 'a b', 'http://x'])(
  'the replica %s is rejected with a remedy',
  (replica) => {
    expect(() => redis({ replicas: [replica] })).toThrow(/replica|URL/)
  },
)
