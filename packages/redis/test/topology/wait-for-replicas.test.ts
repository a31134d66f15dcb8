import { setTimeout as sleep } from 'node:timers/promises'
import type { Duration } from '@stowage/core'
import { redis } from '@stowage/redis'
import { command, Stalls, startProxy, variantGroups } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { waitUntil, waitUntilSucceeds } from '../helpers.ts'
import { startLinked } from './replicated-servers.ts'

let servers: Awaited<ReturnType<typeof startLinked>>
const stores: ReturnType<typeof redis>[] = []

beforeAll(async () => {
  servers = await startLinked(1)
})

afterEach(async () => {
  muteReplication(false)
  await Promise.all(stores.splice(0).map((store) => store.close()))
})

afterAll(() => servers.stop())

function muteReplication(on: boolean): void {
  for (const link of servers.links) link.mute(on)
}

function createStore(timeout: Duration = '2s') {
  const store = redis({
    url: servers.primary.url,
    waitReplicas: 1,
    timeout,
    maxValueBytes: 1_048_576,
  })
  stores.push(store)
  return store
}

describe('waitReplicas', () => {
  conform(test, () => createStore('20s'), { wait: async (ms) => sleep(ms), groups: variantGroups })

  test('a write resolves once the replica has it', async () => {
    const store = createStore()
    const replica = servers.replicas[0]?.port ?? 0
    const keys = Array.from({ length: 50 }, (_, i) => `key ${i}`)
    await Promise.all(
      keys.map(async (key) => {
        await store.set(key, 'v')
        expect(await command(replica, 'GET', key)).toBe('v')
      }),
    )
    expect(await store.increment('n', 1)).toBe(Number(await command(replica, 'GET', 'n')))
  })

  test('a write resolves also if half of the timeout is not a whole number of milliseconds', async () => {
    await createStore(20_001).set('k', 'v')
  })

  test('a write fails if the replica does not acknowledge it; reads go on meanwhile', async () => {
    const store = createStore()
    await store.set('k', 'v')
    muteReplication(true)
    const write = Promise.resolve(store.set('k', 'new'))
    write.catch(() => {}) // It may fail before the read has returned.
    // The primary has executed the write, and WAIT does not block reads.
    await waitUntil('the primary has it', async () => String(await store.get('k')) === 'new')
    await expect(write).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining('only 0 of 1 replicas'),
    })
    muteReplication(false)
    await waitUntilSucceeds(() => store.set('k', 'v'))
  })
})

test('a read waits for an earlier write of its key, which waits behind another one', async () => {
  const store = createStore('20s')
  await store.set('k', 'old')
  muteReplication(true)
  const writes = [store.set('waits for the replica', 'v')]
  await waitUntil('the primary has it', async () => {
    return (await command(servers.primary.port, 'GET', 'waits for the replica')) === 'v'
  })
  writes.push(store.set('k', 'new'))
  const read = store.get('k')
  // In a batch of its own, later on the connection of the reads.
  await new Promise(setImmediate)
  expect(await store.get('missing')).toBeUndefined()
  muteReplication(false)
  expect(String(await read)).toBe('new')
  await Promise.all(writes)
})

test('a write and its WAIT share one timeout', async () => {
  const proxy = await startProxy(servers.primary.port)
  const store = redis({ url: proxy.url, waitReplicas: 1, timeout: '4s' })
  stores.push(store)
  await store.set('k', 'v')
  proxy.delay(3_200, 'replies')
  const stalls = new Stalls()
  await expect(store.set('k', 'new')).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  stalls.stop()
  expect(stalls.runningMs).toBeLessThan(6_000)
  await proxy.stop()
})

test.each([-1, 0.5, Number.NaN])('waitReplicas: %s is rejected', (waitReplicas) => {
  expect(() => redis({ waitReplicas })).toThrow(/waitReplicas must be a whole number of at least/)
})

test('a cluster is rejected', () => {
  expect(() => redis({ clusterNodes: ['a:1'], waitReplicas: 1 })).toThrow(/waitReplicas/)
})
