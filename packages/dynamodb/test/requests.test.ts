import { setTimeout as sleep } from 'node:timers/promises'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { Cache, CacheError } from '@stowage/core'
import { type DynamoDBOptions, dynamodb } from '@stowage/dynamodb'
import { freePort, startProxy } from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import {
  createTable,
  credentials,
  type Engine,
  engines,
  region,
  useCredentials,
} from './engines.ts'
import { exception, type FaultServer, startFaultServer } from './fault-server.ts'

let engine: Engine
let server: FaultServer
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  useCredentials()
  engine = await engines['DynamoDB Local']()
  await createTable(engine, 'cache')
  server = await startFaultServer(engine.url)
})

afterEach(async () => {
  server.decide = () => undefined
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  server.requests.length = 0
})

afterAll(async () => {
  await server.stop()
  await engine.stop()
})

/** A client that does not retry, because the store does, and with as many connections. */
function clientFor(endpoint: string): DynamoDBClient {
  const requestHandler = { httpAgent: { keepAlive: true, maxSockets: 128 } }
  return new DynamoDBClient({ endpoint, region, credentials, maxAttempts: 1, requestHandler })
}

/** Milliseconds until the promise settles. */
async function duration(result: unknown): Promise<number> {
  const start = performance.now()
  await Promise.resolve(result).catch(() => {})
  return performance.now() - start
}

const outcomeOf = (result: unknown) =>
  Promise.resolve(result).then(
    () => 'ok',
    (error) => (CacheError.is(error) ? error.code : error),
  )

/** Requests are sent by the store itself, or by the client of the application. */
describe.each(['lean', 'sdk'] as const)('requests (%s)', (transport) => {
  function storeWith(options: Partial<DynamoDBOptions> = {}, url = server.url) {
    const client = transport === 'sdk' ? clientFor(url) : undefined
    const store = dynamodb({
      table: 'cache',
      endpoint: url,
      region,
      timeout: '5s',
      requestTimeout: '1s',
      ...(client && { client }),
      ...options,
    })
    cleanups.push(
      () => store.close(),
      () => client?.destroy(),
    )
    return store
  }

  test('that are half answered give their connection back', async () => {
    const client = transport === 'sdk' ? clientFor(server.url) : undefined
    await storeWith({}, engine.url).set('k', 'v')
    const timeouts = { timeout: '1s', requestTimeout: '200ms' } as const
    const store = storeWith({ batching: false, ...timeouts, ...(client && { client }) })
    server.decide = () => 'half the reply'
    for (let round = 0; round < 4; round++) {
      await Promise.all(Array.from({ length: 60 }, (_, i) => outcomeOf(store.get(`h${i}`))))
      await sleep(50)
    }
    server.decide = () => undefined
    await vi.waitFor(async () => expect(String(await store.get('k'))).toBe('v'), 10_000)
    expect(server.connections).toBeLessThanOrEqual(128)
    await store.close()
    client?.destroy()
    await vi.waitFor(() => expect(server.connections).toBe(0), 10_000)
  })

  test('wait for a connection as long as the call has time, and are never sent after it failed', async () => {
    const store = storeWith({ timeout: '3s', requestTimeout: '1500ms', batching: false })
    await store.get('warm')
    server.decide = async () => {
      await sleep(700)
      return { body: { Attributes: { value: { N: '1' } } } }
    }
    const increments = Array.from({ length: 800 }, (_, i) => outcomeOf(store.increment(`c${i}`, 1)))
    const outcomes = await Promise.all(increments)
    // More than one round of all connections has passed.
    expect(outcomes.filter((outcome) => outcome === 'ok').length).toBeGreaterThan(128)
    expect(outcomes.filter((outcome) => outcome !== 'ok').length).toBeGreaterThan(0)
    // Client and server share this process, so the server may read a request some time after it was sent.
    await sleep(200)
    const sent = server.requests.length
    await sleep(1_500)
    expect(server.requests).toHaveLength(sent)
  })

  test('to a frozen endpoint fail at once after the first, and succeed again soon after it is back', async () => {
    const wire = await startProxy(server.port)
    cleanups.push(() => wire.stop())
    const timeouts = { timeout: '1s', requestTimeout: '200ms' } as const
    const store = storeWith({ batching: false, ...timeouts }, `http://127.0.0.1:${wire.port}`)
    const cache = new Cache(store, { prefix: 'frozen:' })
    await cache.set('k', 1)
    wire.mute(true)
    expect(await duration(store.get('k'))).toBeLessThan(1_900)
    // One of them may be the request that finds out whether the endpoint is back.
    const start = performance.now()
    const outcomes = Array.from({ length: 4 }, () => outcomeOf(cache.get('k')))
    expect(await Promise.race(outcomes)).toBe('ERR_CACHE_UNAVAILABLE')
    expect(performance.now() - start).toBeLessThan(900)
    const isUnavailable = (outcome: unknown) => outcome === 'ERR_CACHE_UNAVAILABLE'
    expect((await Promise.all(outcomes)).filter(isUnavailable).length).toBeGreaterThan(2)
    await expect(Promise.all([cache.get('k'), cache.get('k')])).rejects.toThrow('127.0.0.1:')
    expect(await cache.remember('other', {}, () => 42)).toBe(42)
    // One request at a time finds out whether the endpoint is back.
    await sleep(100)
    const probes = Array.from({ length: 20 }, (_, i) => outcomeOf(store.get(`p${i}`)))
    expect((await Promise.all(probes)).sort().at(-1)).toBe('ERR_CACHE_UNAVAILABLE')
    wire.mute(false)
    const back = performance.now()
    await vi.waitFor(async () => expect(await cache.get('k')).toBe(1), 3_000)
    expect(performance.now() - back).toBeLessThan(2_500)
  })

  test('that were not sent are not reported as timed out, and a slow key does not stop others', async () => {
    const store = storeWith({ batching: false, timeout: '3s', requestTimeout: '200ms' })
    await store.get('warm')
    server.decide = async (_, { Key }) => {
      if (Key?.key?.S === 'slow') await sleep(4_000)
      return undefined
    }
    const slow = outcomeOf(store.get('slow'))
    const others: string[] = []
    for (let call = 0; call < 30; call++) {
      others.push(await outcomeOf(store.get('fast')))
      await sleep(30)
    }
    expect(new Set(others)).toEqual(new Set(['ok']))
    expect(await slow).toBe('ERR_CACHE_TIMEOUT')
  })

  test('to a port without a server fail soon, and then at once', async () => {
    const store = storeWith({ timeout: '30s' }, `http://127.0.0.1:${await freePort()}`)
    // At most 3,550 ms of random delays.
    expect(await duration(store.get('k'))).toBeLessThan(5_000)
    const unreachable = { code: 'ERR_CACHE_UNAVAILABLE', message: expect.stringMatching(/127.*:/) }
    await expect(store.get('k')).rejects.toMatchObject(unreachable)
    expect(await duration(store.get('k'))).toBeLessThan(500)
  })

  test('that are throttled are retried until the deadline, alone and in a batch', async () => {
    const store = storeWith({ timeout: '2s' })
    server.decide = () => exception('ThrottlingException', 'Rate exceeded')
    const keys = Array.from({ length: 250 }, (_, index) => `k${index}`)
    for (const read of [() => store.get('a'), () => store.getMany(keys)]) {
      const took = await duration(read())
      expect(took).toBeGreaterThan(800)
      expect(took).toBeLessThan(3_500)
    }
  })

  test('that are throttled at first succeed within the deadline', async () => {
    // The delays before six retries add up to 2,550 ms at most.
    const store = storeWith({ timeout: '20s' })
    let rejected = 0
    server.decide = () => (rejected++ < 6 ? exception('ThrottlingException') : undefined)
    expect(await store.get('a')).toBeUndefined()
    expect(rejected).toBe(7)
  })

  test('share a budget of retries while the server throttles everything', async () => {
    const store = storeWith({ timeout: '10s', requestTimeout: '10s', batching: false })
    server.decide = () => exception('ThrottlingException')
    const start = performance.now()
    await Promise.all(Array.from({ length: 100 }, (_, i) => outcomeOf(store.get(`t${i}`))))
    // 100 first attempts, 100 retries and 10 per second.
    const refilled = ((performance.now() - start) / 1_000) * 10
    expect(server.requests.length).toBeGreaterThan(150)
    expect(server.requests.length).toBeLessThan(210 + refilled)
  })

  test('whose connection is reset are retried where that is safe', async () => {
    const store = storeWith()
    await store.set('n', '1')
    let resets = 0
    server.decide = () => (resets++ < 1 ? 'reset' : undefined)
    expect(String(await store.get('n'))).toBe('1')
    resets = 0
    expect(await outcomeOf(store.increment('n', 1))).toBe('ERR_CACHE_UNAVAILABLE')
    expect(String(await store.get('n'))).toBe('1')
  })

  test('tell the time of the server from its replies', async () => {
    const store = storeWith()
    const ahead = 3 * 3_600_000
    server.decide = () => ({
      body: {},
      headers: { date: new Date(Date.now() + ahead).toUTCString() },
    })
    const time = await store.time?.()
    expect(Math.abs((time ?? 0) - Date.now() - ahead)).toBeLessThan(1_100)
    const requests = server.requests.length
    await store.time?.()
    expect(server.requests).toHaveLength(requests)
  })
})
