import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { ByteStore } from '@stowage/core/driver'
import { type DynamoDBOptions, dynamodb } from '@stowage/dynamodb'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { credentials } from './engines.ts'
import { type Body, exception, type FaultServer, startFaultServer } from './fault-server.ts'

/** How far the server is ahead of this process. */
const aheadMs = 10 * 60_000

interface SentRequest {
  readonly name: string
  readonly body: Body
}

let server: FaultServer
/** One that no other test of this process uses: it remembers the clock of an endpoint, and a port may be used again. */
let region: string
let count = 0
let sent: SentRequest[]
const cleanups: (() => unknown)[] = []

// Nothing is forwarded.
beforeEach(async () => {
  server = await startFaultServer('http://127.0.0.1:9')
  region = `test-${++count}`
  sent = []
  server.decide = (name, body) => {
    sent.push({ name, body })
    return { body: {}, headers: date() }
  }
})

afterEach(async () => {
  vi.restoreAllMocks()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  await server.stop()
})

const date = () => ({ date: new Date(Date.now() + aheadMs).toUTCString() })
const names = () => sent.map(({ name }) => name)

/** By how many milliseconds a time in a request differs from that of the server. */
function errorOf(seconds: unknown): number {
  return Math.abs(Number(seconds) * 1_000 - Date.now() - aheadMs)
}

/** On a busy machine, a request that takes longer than the default would be sent again. */
const long = { timeout: '1m', requestTimeout: '1m' } as const

/** The times that conditions compare with. */
const comparedTimes = () =>
  sent.flatMap(({ body }) => body.ExpressionAttributeValues?.[':now']?.N ?? [])

describe.each(['lean', 'sdk'] as const)('the time of the server (%s)', (transport) => {
  let client: DynamoDBClient | undefined

  beforeEach(() => {
    client =
      transport === 'sdk'
        ? new DynamoDBClient({ endpoint: server.url, region, credentials, maxAttempts: 1 })
        : undefined
    cleanups.push(() => client?.destroy())
  })

  function storeWith(options: Partial<DynamoDBOptions> = {}): ByteStore {
    const store = dynamodb({
      table: 'cache',
      endpoint: server.url,
      region,
      credentials,
      ...long,
      ...(client && { client }),
      ...options,
    })
    cleanups.push(() => store.close())
    return store
  }

  const timedCalls: Record<string, (store: ByteStore) => unknown> = {
    'add, as of a lock': (store) => store.add('k', 'v', 30_000),
    compareAndSet: (store) => store.compareAndSet('k', 'v', 'w', 30_000),
    increment: (store) => store.increment('k', 1),
    'increment with a ttl': (store) => store.increment('k', 1, 30_000),
    touch: (store) => store.touch('k', 30_000),
    delete: (store) => store.delete('k'),
  }

  test.each(Object.entries(timedCalls))('is known before the condition of %s', async (_, call) => {
    const value = { value: { N: '1' } }
    server.decide = (name, body) => {
      sent.push({ name, body })
      return { body: { Attributes: value }, headers: date() }
    }
    await call(storeWith())
    expect(names()[0]).toBe('GetItem')
    const times = comparedTimes()
    expect(times).toHaveLength(1)
    for (const time of times) expect(errorOf(time)).toBeLessThan(30_000)
  })

  test('is known before the ttl of set and setMany', async () => {
    const calls = [
      (store: ByteStore) => store.set('k', 'v', 60_000),
      (store: ByteStore) => store.setMany([['k', 'v'] as const, ['l', 'w'] as const], 60_000),
    ]
    for (const call of calls) {
      await server.stop()
      server = await startFaultServer('http://127.0.0.1:9')
      sent = []
      server.decide = (name, body) => {
        sent.push({ name, body })
        return { body: {}, headers: date() }
      }
      const { url: endpoint } = server
      const own =
        transport === 'sdk' ? new DynamoDBClient({ endpoint, region, credentials }) : undefined
      cleanups.push(() => own?.destroy())
      await call(storeWith({ endpoint, ...(own && { client: own }) }))
      expect(names()[0]).toBe('GetItem')
      const text = JSON.stringify(sent.map(({ body }) => body))
      const expiries = [...text.matchAll(/"expires_at":\{"N":"(\d+)"\}/g)].map(([, n]) => n)
      expect(expiries.length).toBeGreaterThan(0)
      for (const expiry of expiries) expect(errorOf(Number(expiry) - 60)).toBeLessThan(30_000)
    }
  })

  test('is read by one request of the process, and then by none', async () => {
    const [first, second] = [storeWith(), storeWith({ table: 'sessions' })]
    const calls = [first, second].flatMap((store) =>
      Array.from({ length: 20 }, (_, i) => store.add(`k${i}`, 'v')),
    )
    await Promise.all(calls)
    expect(names().filter((name) => name === 'GetItem')).toHaveLength(1)
    expect(names()).toHaveLength(41)
    await storeWith().add('k', 'v')
    expect(names()).toHaveLength(42)
  })

  test('costs no request if a first write without a ttl has a reply', async () => {
    const store = storeWith()
    await store.set('k', 'v')
    expect(names()).toEqual(['PutItem'])
    await storeWith().add('k', 'v')
    expect(names()).toEqual(['PutItem', 'PutItem'])
  })

  test('is also that of an error reply', async () => {
    server.decide = (name, body) => {
      sent.push({ name, body })
      const { body: error } = exception('AccessDeniedException') as { body: object }
      return name === 'GetItem'
        ? { status: 400, body: error, headers: date() }
        : { body: {}, headers: date() }
    }
    expect(await storeWith().add('k', 'v')).toBe(true)
    expect(errorOf(comparedTimes()[0])).toBeLessThan(30_000)
  })

  test('is read again after a suspension of the machine, or after its clock was set', async () => {
    const store = storeWith()
    await store.add('k', 'v')
    // performance.now() may stop during a suspension.
    const { now } = Date
    vi.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000)
    await store.add('k', 'v')
    await store.add('k', 'v')
    expect(names()).toEqual(['GetItem', 'PutItem', 'GetItem', 'PutItem', 'PutItem'])
    for (const time of comparedTimes().slice(1)) expect(errorOf(time)).toBeLessThan(30_000)
  })

  test('is missing in a call that fails as its own request would', async () => {
    server.decide = () => 'reset'
    await expect(storeWith().add('k', 'v')).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      operation: 'add',
      key: 'k',
      message: expect.stringContaining('dynamodb add failed'),
    })
  })

  test('lets reads with a token be strong until the write is old by it', async () => {
    const store = storeWith({ consistency: 'session', batching: false })
    // Another process has written just now.
    store.observe?.((Date.now() + aheadMs).toString(36))
    for (let read = 1; read <= 3; read++) await store.get('k')
    expect(sent.map(({ body }) => body.ConsistentRead)).toEqual([true, true, true])
  })
})

test('is read by each store if the request of another one cannot be sent', async () => {
  const place = { endpoint: server.url, region, batching: false, ...long } as const
  let fail = (_: Error) => {}
  const missing = new Promise<never>((_, reject) => {
    fail = reject
  })
  const broken = dynamodb({ table: 'cache', ...place, credentials: () => missing })
  const working = dynamodb({ table: 'sessions', ...place, credentials })
  cleanups.push(
    () => broken.close(),
    () => working.close(),
  )
  const failed = Promise.resolve(broken.add('k', 'v')).catch((error: unknown) => error)
  const added = working.add('k', 'v')
  fail(Object.assign(new Error('no credentials'), { name: 'CredentialsProviderError' }))
  expect(await failed).toMatchObject({ code: 'ERR_CACHE_CONFIG', operation: 'add' })
  expect(await added).toBe(true)
  expect(names()).toEqual(['GetItem', 'PutItem'])
})

test('is read by each store while the request of another one is not sent', async () => {
  const place = { endpoint: server.url, region, batching: false, ...long } as const
  let fail = (_: Error) => {}
  const missing = new Promise<never>((_, reject) => {
    fail = reject
  })
  const waiting = dynamodb({ table: 'cache', ...place, credentials: () => missing })
  const working = dynamodb({ table: 'sessions', ...place, credentials })
  cleanups.push(
    () => waiting.close(),
    () => working.close(),
  )
  const failed = Promise.resolve(waiting.add('k', 'v')).catch((error: unknown) => error)
  expect(await Promise.all([working.add('k', 'v'), working.add('l', 'v')])).toEqual([true, true])
  expect(names()).toEqual(['GetItem', 'PutItem', 'PutItem'])
  fail(Object.assign(new Error('no credentials'), { name: 'CredentialsProviderError' }))
  await failed
})
