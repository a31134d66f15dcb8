import { setTimeout as sleep } from 'node:timers/promises'
import type { Duration } from '@stowage/core'
import { redis } from '@stowage/redis'
import {
  command,
  type FaultProxy,
  type Replicated,
  startProxy,
  startReplicated,
} from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { succeeds, until } from './helpers.ts'

let servers: Replicated
let wire: FaultProxy
const stores: ReturnType<typeof redis>[] = []

beforeAll(async () => {
  servers = await startReplicated({
    replicas: 1,
    replicateThrough: async (port) => {
      wire = await startProxy(port)
      return wire.port
    },
  })
})

afterEach(async () => {
  wire.mute(false)
  await Promise.all(stores.splice(0).map((store) => store.close()))
})

afterAll(async () => {
  await servers.stop()
  await wire.stop()
})

function durable(timeout: Duration = '2s') {
  const made = redis({
    url: servers.primary.url,
    waitReplicas: 1,
    timeout,
    maxValueBytes: 1_048_576,
  })
  stores.push(made)
  return made
}

describe('writes that wait for a replica', () => {
  conform(test, () => durable(), { wait: async (ms) => sleep(ms) })

  test('are there when they are answered', async () => {
    const store = durable()
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

  test('fail where it does not answer, with what that means; reads go on meanwhile', async () => {
    const store = durable('300ms')
    await store.set('k', 'v')
    wire.mute(true)
    const write = store.set('k', 'new')
    // The primary has it already, and the write holds up no read.
    await until('the primary has it', async () => String(await store.get('k')) === 'new')
    await expect(write).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining('0 of the 1 replicas'),
    })
    wire.mute(false)
    await until('writing works again', () => succeeds(() => store.set('k', 'v')))
  })
})

test('a write and its replicas share the time of one call', async () => {
  const front = await startProxy(servers.primary.port)
  const store = redis({ url: front.url, waitReplicas: 1, timeout: '1s' })
  stores.push(store)
  await store.set('k', 'v')
  front.delay(800, 'replies')
  const since = performance.now()
  await expect(store.set('k', 'new')).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  expect(performance.now() - since).toBeLessThan(1_500)
  await front.stop()
})

test.each([-1, 0.5, Number.NaN])('waitReplicas: %s is refused', (waitReplicas) => {
  expect(() => redis({ waitReplicas })).toThrow(/waitReplicas must be a whole number of at least/)
})

test('a cluster is refused', () => {
  expect(() => redis({ clusterNodes: ['a:1'], waitReplicas: 1 })).toThrow(/waitReplicas/)
})
