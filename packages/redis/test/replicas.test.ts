import { setTimeout as sleep } from 'node:timers/promises'
import { redis } from '@stowage/redis'
import { command, startProxy } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { describe, expect, test } from 'vitest'
import { readsOf, replicated, until } from './helpers.ts'
import { replicatedServers } from './replicated-servers.ts'

const servers = replicatedServers()
const { wires, ports, store } = servers

async function readsOnReplicas(): Promise<number> {
  return readsOf(...ports())
}

describe('a primary and two replicas', () => {
  conform(test, () => store({ maxValueBytes: 1_048_576 }), { wait: async (ms) => sleep(ms) })
})

describe('a read after a write of one’s own', () => {
  test('is never older, though the replicas are 20 ms behind; replicas answer most reads', async () => {
    for (const wire of wires) wire.delay(20, 'replies')
    const made = store()
    const [primaryBefore, replicasBefore] = [
      await readsOf(servers.primary.port),
      await readsOnReplicas(),
    ]
    let stale = 0
    const worker = async (name: number) => {
      const check = async (value: string) => {
        if (String(await made.get(`key ${name}`)) !== value) stale++
      }
      for (let request = 0; request < 20; request++) {
        const value = `${request}`
        await made.set(`key ${name}`, value)
        await check(value)
        for (let other = 1; other < 10; other++) await made.get(`page ${(name * 7 + other) % 50}`)
        await check(value)
      }
    }
    await Promise.all(Array.from({ length: 32 }, (_, name) => worker(name)))
    expect(stale).toBe(0)
    const onPrimary = (await readsOf(servers.primary.port)) - primaryBefore
    expect((await readsOnReplicas()) - replicasBefore).toBeGreaterThan(onPrimary)
  })

  test('is answered by a replica again, once that one has it', async () => {
    const made = store()
    await made.set('k', 'new')
    const before = await readsOnReplicas()
    await until('a replica answers', async () => {
      expect(String(await made.get('k'))).toBe('new')
      return (await readsOnReplicas()) > before
    })
  })

  test.each([
    ['set', async (made: ReturnType<typeof redis>) => made.set('x', 'after')],
    ['setMany', async (made: ReturnType<typeof redis>) => made.setMany([['x', 'after']], 60_000)],
    [
      'compareAndSet',
      async (made: ReturnType<typeof redis>) => made.compareAndSet('x', 'before', 'after'),
    ],
  ])('holds for %s while nothing is replicated at all', async (_, write) => {
    const made = store()
    await made.set('x', 'before')
    await made.get('x')
    for (const wire of wires) wire.mute(true)
    await write(made)
    for (let read = 0; read < 10; read++) expect(String(await made.get('x'))).toBe('after')
    await made.delete('x')
    expect(await made.get('x')).toBeUndefined()
    await made.set('y', '1')
    await made.clear()
    expect(await made.getMany(['x', 'y'])).toEqual([undefined, undefined])
  })

  test('is the primary’s alone: the others of its batch stay with the replicas', async () => {
    const made = store()
    const old = ['a', 'b', 'c', 'd']
    await made.setMany(old.map((key) => [key, 'v'] as const))
    for (const key of old) await replicated(key, 'v', ...servers.replicas.map(({ port }) => port))
    await until('a replica answers', async () => {
      const before = await readsOnReplicas()
      await made.getMany(old)
      return (await readsOnReplicas()) > before
    })
    for (const wire of wires) wire.mute(true)
    await made.set('c', 'new')
    const [primary, replicas] = [await readsOf(servers.primary.port), await readsOnReplicas()]
    const found = await made.getMany([...old, 'c', 'gone'])
    expect(found.map((item) => item && String(item))).toEqual([
      'v',
      'v',
      'new',
      'v',
      'new',
      undefined,
    ])
    expect(await readsOf(servers.primary.port)).toBe(primary + 1)
    expect(await readsOnReplicas()).toBe(replicas + 1)
  })

  test('may be older where that was asked for', async () => {
    const made = store({ consistency: 'eventual' })
    await made.set('k', 'old')
    await replicated('k', 'old', ...servers.replicas.map(({ port }) => port))
    await until('the replicas are connected', async () => {
      const before = await readsOnReplicas()
      await made.get('k')
      return (await readsOnReplicas()) > before
    })
    for (const wire of wires) wire.mute(true)
    await made.set('k', 'new')
    expect(String(await made.get('k'))).toBe('old')
  })

  test('is the primary’s with strong consistency', async () => {
    const made = store({ consistency: 'strong' })
    await made.set('k', 'v')
    const before = await readsOnReplicas()
    for (let read = 0; read < 20; read++) await made.get('k')
    expect(await readsOnReplicas()).toBe(before)
  })
})

describe('a replica that fails', () => {
  test('costs nobody an answer: the primary gives it', async () => {
    const made = store({ timeout: '50ms' })
    await made.set('k', 'v')
    for (const { kill } of servers.replicas) kill('SIGSTOP')
    for (let read = 0; read < 20; read++) expect(String(await made.get('k'))).toBe('v')
    const frozen = await readsOf(servers.primary.port)
    await made.get('k')
    expect(await readsOf(servers.primary.port)).toBe(frozen + 1)
  })

  test('is not trusted with what its address led to before', async () => {
    const [first, second] = servers.replicas.map(({ port }) => port) as [number, number]
    const front = await startProxy(first)
    const made = store({ replicas: [`127.0.0.1:${front.port}`] })
    const answeredBy = async (port: number) => {
      const before = await readsOf(port)
      await made.get('k')
      return (await readsOf(port)) > before
    }
    await made.set('k', 'old')
    await replicated('k', 'old', first, second)
    await muteWireOf(second)
    await made.set('k', 'new')
    await until('the first replica has it', async () => answeredBy(first))
    front.retarget(second)
    front.cut()
    for (let read = 0; read < 100; read++) {
      expect(String(await made.get('k'))).toBe('new')
      await sleep(2)
    }
    for (const wire of wires) wire.mute(false)
    await until('the second replica is trusted', async () => answeredBy(second))
    await made.close()
    await front.stop()
  })
})

/** Cuts a replica off from the primary; which wire is whose shows in what it does not get. */
async function muteWireOf(port: number): Promise<void> {
  const [, , masterPort] = (await command(port, 'ROLE')) as [string, string, number]
  wires.find((wire) => wire.port === masterPort)?.mute(true)
}

test.each(['banana:port', 'a b', 'http://x'])(
  'the replica %s is refused with the remedy',
  (replica) => {
    expect(() => redis({ replicas: [replica] })).toThrow(/replica|URL/)
  },
)
