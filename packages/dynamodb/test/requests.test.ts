import { setTimeout as pause } from 'node:timers/promises'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { Cache, CacheError } from '@stowage/core'
import { type DynamoDBOptions, dynamodb } from '@stowage/dynamodb'
import { freePort, isFullTier, runningTimeOf, startProxy } from '@stowage/test-servers'
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
}, 120_000)

afterEach(async () => {
  server.decide = () => undefined
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  server.requests.length = 0
  server.keys.length = 0
})

afterAll(async () => {
  await server.stop()
  await engine.stop()
})

/** A client that does not retry, because the store does, and with as many connections. */
function clientFor(endpoint: string): DynamoDBClient {
  const requestHandler = { httpAgent: { keepAlive: true, maxSockets: connections } }
  return new DynamoDBClient({ endpoint, region, credentials, maxAttempts: 1, requestHandler })
}

/** Requests in flight of a store. */
const connections = 128

const outcomeOf = (result: unknown) =>
  Promise.resolve(result).then(
    () => 'ok',
    (error) => (CacheError.is(error) ? error.code : error),
  )

/** For calls that must not time out because the machine is slow. */
const patient = { timeout: '40s', requestTimeout: '20s' } as const
/** The reply to an increment. */
const incremented = { body: { Attributes: { value: { N: '1' } } } }

/** The cause of the error of the call; `undefined` if it succeeds. */
const causeOf = (result: unknown) =>
  Promise.resolve(result).then(
    () => undefined,
    (error: Error) => error.cause,
  )

/** Requests are sent by the store itself, or by the client of the application. */
const transports = isFullTier ? (['lean', 'sdk'] as const) : (['lean'] as const)

describe.each(transports)('requests (%s)', (transport) => {
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
    await storeWith(patient, engine.url).set('k', 'v')
    const timeouts = { timeout: '1s', requestTimeout: '200ms' } as const
    const store = storeWith({ batching: false, ...timeouts, ...(client && { client }) })
    server.decide = () => 'half the reply'
    for (let round = 0; round < 4; round++) {
      await Promise.all(Array.from({ length: 60 }, (_, i) => outcomeOf(store.get(`h${i}`))))
    }
    server.decide = () => undefined
    await vi.waitFor(async () => expect(String(await store.get('k'))).toBe('v'), 30_000)
    expect(server.connections).toBeLessThanOrEqual(connections)
    await store.close()
    client?.destroy()
    await vi.waitFor(() => expect(server.connections).toBe(0), 10_000)
  })

  test('wait for a connection as long as the call has time', async () => {
    const store = storeWith({ ...patient, batching: false })
    // Otherwise the increments wait for a request for the time of the server.
    await store.get('c')
    const received: (() => void)[] = []
    server.decide = async () => {
      await new Promise<void>((reply) => received.push(reply))
      return incremented
    }
    const calls = Array.from({ length: 300 }, (_, i) => outcomeOf(store.increment(`c${i}`, 1)))
    await vi.waitFor(() => expect(received).toHaveLength(connections), 20_000)
    // The others are sent when the first ones have got their replies.
    for (const reply of received.splice(0)) reply()
    await vi.waitFor(() => expect(received).toHaveLength(connections), 20_000)
    for (const reply of received.splice(0)) reply()
    await vi.waitFor(() => expect(received).toHaveLength(300 - 2 * connections), 20_000)
    for (const reply of received.splice(0)) reply()
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['ok']))
  })

  test('that wait for a connection are not sent after their call failed', async () => {
    const store = storeWith({ timeout: '3s', requestTimeout: '3s', batching: false })
    // Otherwise the increments wait for a request for the time of the server.
    await vi.waitFor(() => store.get('c'), 20_000)
    let reply = () => {}
    const replying = new Promise<void>((resolve) => {
      reply = resolve
    })
    server.decide = async () => {
      await replying
      return incremented
    }
    const keys = Array.from({ length: 600 }, (_, index) => `c${index}`)
    const waiting = keys.map((key) => causeOf(store.increment(key, 1)))
    await vi.waitFor(() => expect(server.keys.length).toBeGreaterThan(connections), 20_000)
    // The process stands still until the time of all of them is over.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_500)
    const causes = await Promise.all(waiting)
    reply()
    await vi.waitFor(() => store.increment('last', 1), 20_000)
    const sent = server.keys.filter((key) => key !== 'last')
    const notSent = keys.filter((_, index) => Object(causes[index]).wasSent === false)
    expect(notSent.length).toBeGreaterThan(0)
    expect(sent.filter((key) => notSent.includes(key))).toEqual([])
  })

  test('to a frozen endpoint fail at once after the first, and succeed again when it is back', async () => {
    const wire = await startProxy(server.port)
    cleanups.push(() => wire.stop())
    const timeouts = { timeout: '1s', requestTimeout: '200ms' } as const
    const store = storeWith({ batching: false, ...timeouts }, `http://127.0.0.1:${wire.port}`)
    const cache = new Cache(store, { prefix: 'frozen:' })
    await new Cache(storeWith(patient), { prefix: 'frozen:' }).set('k', 1)
    wire.mute(true)
    // The endpoint counts as unreachable after two requests without a reply, which a slow machine may send in two calls.
    const both = () => Promise.all([outcomeOf(store.get('k')), outcomeOf(store.get('k'))])
    await vi.waitFor(async () => expect(await both()).toContain('ERR_CACHE_UNAVAILABLE'), 30_000)
    const isUnavailable = (outcome: unknown) => outcome === 'ERR_CACHE_UNAVAILABLE'
    // A slow machine may come here when the endpoint has another chance.
    await vi.waitFor(async () => {
      // A call that is sent times out. One of these may be the request that finds out whether the endpoint is back.
      const outcomes = Array.from({ length: 4 }, () => outcomeOf(cache.get('k')))
      expect(await Promise.race(outcomes)).toBe('ERR_CACHE_UNAVAILABLE')
      expect((await Promise.all(outcomes)).filter(isUnavailable).length).toBeGreaterThan(2)
    }, 30_000)
    await expect(Promise.all([cache.get('k'), cache.get('k')])).rejects.toThrow('127.0.0.1:')
    expect(await cache.remember('other', {}, () => 42)).toBe(42)
    const probes = Array.from({ length: 20 }, (_, i) => outcomeOf(store.get(`p${i}`)))
    expect((await Promise.all(probes)).sort().at(-1)).toBe('ERR_CACHE_UNAVAILABLE')
    wire.mute(false)
    await vi.waitFor(async () => expect(await cache.get('k')).toBe(1), 30_000)
  })

  test('that were not sent are not reported as timed out, and a slow key does not stop others', async () => {
    const store = storeWith({ batching: false, timeout: '4s', requestTimeout: '3s' })
    server.decide = (_, { Key }) =>
      Key?.key?.S === 'slow' ? new Promise<never>(() => {}) : { body: {} }
    let isSlow = true
    const slow = outcomeOf(store.get('slow')).finally(() => {
      isSlow = false
    })
    const others = new Set<unknown>()
    while (isSlow) {
      others.add(await outcomeOf(store.get('fast')))
      await pause(20)
    }
    expect(others).toEqual(new Set(['ok']))
    expect(await slow).toBe('ERR_CACHE_TIMEOUT')
  })

  test('to a port without a server fail soon, and then at once', async () => {
    const store = storeWith({ timeout: '30s' }, `http://127.0.0.1:${await freePort()}`)
    // At most 3,550 ms of random delays.
    expect(await runningTimeOf(() => store.get('k'))).toBeLessThan(10_000)
    const unreachable = { code: 'ERR_CACHE_UNAVAILABLE', message: expect.stringMatching(/127.*:/) }
    await expect(store.get('k')).rejects.toMatchObject(unreachable)
    expect(await runningTimeOf(() => store.get('k'))).toBeLessThan(500)
  })

  test('that are throttled are retried until the deadline, alone and in a batch', async () => {
    const store = storeWith({ timeout: '4s', requestTimeout: '4s' })
    const keys = Array.from({ length: 250 }, (_, index) => `k${index}`)
    for (const read of [() => store.get('a'), () => store.getMany(keys)]) {
      let requests = 0
      server.decide = () => {
        requests++
        return exception('ThrottlingException', 'Rate exceeded')
      }
      // The delays before four retries add up to 750 ms at most.
      expect(await runningTimeOf(read)).toBeLessThan(5_500)
      expect(requests).toBeGreaterThan(4)
    }
  })

  test('that are throttled at first succeed within the deadline', async () => {
    // The delays before six retries add up to 2,550 ms at most.
    const store = storeWith(patient)
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
    const store = storeWith(patient)
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
    const earliest = Date.now() + ahead
    const time = await store.time?.()
    const latest = Date.now() + ahead
    // The header has whole seconds.
    expect(time).toBeGreaterThan(earliest - 1_100)
    expect(time).toBeLessThan(latest + 1_100)
    const requests = server.requests.length
    await store.time?.()
    expect(server.requests).toHaveLength(requests)
  })
})
