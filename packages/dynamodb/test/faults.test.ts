import { Cache } from '@stowage/core'
import { dynamodb } from '@stowage/dynamodb'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createTable, type Engine, engines, useCredentials } from './engines.ts'
import { type Body, exception, type FaultServer, startFaultServer } from './fault-server.ts'

let engine: Engine
let server: FaultServer
let store: ReturnType<typeof dynamodb>
const options = { table: 'cache', region: 'eu-central-1' } as const
/** A busy machine takes seconds for a request, which would be sent again. */
const longTimeouts = { timeout: '20s', requestTimeout: '10s' } as const
const keys = Array.from({ length: 1_000 }, (_, index) => `key ${index}`)
const entries = keys.map((key, index) => [key, `value ${index}`] as const)

beforeAll(async () => {
  useCredentials()
  engine = await engines['DynamoDB Local']()
  await createTable(engine, 'cache')
})

beforeEach(async () => {
  server = await startFaultServer(engine.url)
  store = dynamodb({ ...options, endpoint: server.url, ...longTimeouts })
})

afterEach(async () => {
  await store.close()
  await server.stop()
})

afterAll(() => engine.stop())

describe('batches of 1000 keys', () => {
  /** Processes half of each batch, and throttles one batch in five. */
  async function unreliable(name: string, body: Body) {
    if (name === 'BatchGetItem') return unreliableGet(body)
    if (name === 'BatchWriteItem') return unreliableWrite(body)
    return undefined
  }

  async function unreliableGet({ RequestItems: { cache } }: Body) {
    if (Math.random() < 0.2) return exception('ProvisionedThroughputExceededException')
    const { Keys: all, ...rest } = cache as { Keys: object[] }
    const processed = all.slice(0, Math.ceil(all.length / 2))
    const reply = await server.forward('BatchGetItem', {
      RequestItems: { cache: { ...rest, Keys: processed } },
    })
    const remaining = all.slice(processed.length)
    const UnprocessedKeys = remaining.length === 0 ? {} : { cache: { ...rest, Keys: remaining } }
    return { body: { ...reply, UnprocessedKeys } }
  }

  async function unreliableWrite({ RequestItems: { cache } }: Body) {
    if (Math.random() < 0.2) return exception('ThrottlingException')
    const all = cache as object[]
    const processed = all.slice(0, Math.ceil(all.length / 2))
    await server.forward('BatchWriteItem', { RequestItems: { cache: processed } })
    const remaining = all.slice(processed.length)
    return { body: { UnprocessedItems: remaining.length === 0 ? {} : { cache: remaining } } }
  }

  test('lose nothing when the server throttles and leaves items unprocessed', async () => {
    server.decide = unreliable
    await store.setMany(entries, 60_000)
    const found = await store.getMany([...keys, ...keys])
    expect(found.map(String)).toEqual([...entries, ...entries].map(([, value]) => value))
    expect(await store.deleteMany(keys)).toBe(1_000)
    server.decide = () => undefined
    expect((await store.getMany(keys)).every((each) => each === undefined)).toBe(true)
  })

  test('take 10 requests to read and 40 to write, even with every key repeated', async () => {
    await store.setMany([...entries, ...entries])
    await store.getMany([...keys, ...keys])
    expect(server.requests).toHaveLength(50)
  })

  test('send nothing more once a chunk has failed, and wait for the requests in flight', async () => {
    let inFlight = 0
    server.decide = async () => {
      inFlight++
      await new Promise((resolve) => setTimeout(resolve, 20 * inFlight))
      inFlight--
      return exception('AccessDeniedException')
    }
    await expect(store.setMany(entries)).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    expect(inFlight).toBe(0)
    const sent = server.requests.length
    expect(sent).toBeLessThanOrEqual(8)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(server.requests).toHaveLength(sent)
  })

  test('report unprocessed items at the deadline', async () => {
    const shortTimeout = dynamodb({ ...options, endpoint: server.url, timeout: '3s' })
    server.decide = (_, { RequestItems }) => ({ body: { UnprocessedItems: RequestItems } })
    await expect(shortTimeout.setMany(entries.slice(0, 20))).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      retryable: true,
      message: expect.stringContaining('20 items'),
    })
    await shortTimeout.close()
  })

  test('report unprocessed items if nothing replies to the request for the rest', async () => {
    const timeouts = { timeout: '3s', requestTimeout: '10s' } as const
    const shortTimeout = dynamodb({ ...options, ...timeouts, endpoint: server.url })
    let requests = 0
    server.decide = (_, { RequestItems }) =>
      requests++ === 0 ? { body: { UnprocessedItems: RequestItems } } : new Promise<never>(() => {})
    await expect(shortTimeout.setMany(entries.slice(0, 20))).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      retryable: true,
      message: expect.stringContaining('20 items'),
      cause: { code: 'ERR_CACHE_TIMEOUT' },
    })
    expect(requests).toBe(2)
    await shortTimeout.close()
  })
})

describe('calls of one tick', () => {
  test('are merged into BatchGetItem and BatchWriteItem requests', async () => {
    // A first ttl waits for the time of the server.
    await store.ping()
    server.requests.length = 0
    await Promise.all(keys.slice(0, 50).map((key) => store.set(key, 'x', 60_000)))
    await Promise.all(keys.slice(0, 50).map((key) => store.get(key)))
    expect(server.requests).toEqual(['BatchWriteItem', 'BatchWriteItem', 'BatchGetItem'])
  })

  test('a hit of remember with a stale window and a tag is one request, for all callers', async () => {
    const cache = new Cache(store)
    const remembered = { ttl: '1m', staleWhileRevalidate: '1h', tags: ['t'] } as const
    const hit = () => cache.remember('hit', remembered, () => 'value')
    await hit()
    server.requests.length = 0
    for (const calls of [1, 50]) {
      const values = await Promise.all(Array.from({ length: calls }, hit))
      expect(new Set(values)).toEqual(new Set(['value']))
    }
    expect(server.requests).toEqual(['BatchGetItem', 'BatchGetItem'])
  })

  test('are not merged without batching', async () => {
    const place = { ...options, endpoint: server.url, ...longTimeouts }
    const unbatched = dynamodb({ ...place, batching: false })
    await Promise.all(keys.slice(0, 3).map((key) => unbatched.get(key)))
    expect(server.requests).toEqual(['GetItem', 'GetItem', 'GetItem'])
    await unbatched.close()
  })
})

describe('after a lost reply', () => {
  const loseReply = (action: string) => {
    let remaining = 1
    server.decide = (name) => (name === action && remaining-- > 0 ? 'drop the reply' : undefined)
  }

  test('add detects that it succeeded', async () => {
    loseReply('PutItem')
    expect(await store.add('lock', 'mine', 60_000)).toBe(true)
    expect(await store.add('lock', 'theirs', 60_000)).toBe(false)
    expect(String(await store.get('lock'))).toBe('mine')
  })

  test('add detects that the key existed before', async () => {
    await store.set('taken', 'theirs')
    loseReply('PutItem')
    expect(await store.add('taken', 'mine')).toBe(false)
  })

  test('compareAndSet detects that it succeeded', async () => {
    await store.set('swapped', 'old')
    loseReply('PutItem')
    expect(await store.compareAndSet('swapped', 'old', 'new')).toBe(true)
    loseReply('PutItem')
    expect(await store.compareAndSet('swapped', 'old', 'newer')).toBe(false)
  })

  test('increment and delete fail, and are not retried', async () => {
    await store.increment('n', 1)
    loseReply('UpdateItem')
    await expect(store.increment('n', 1)).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      retryable: true,
    })
    expect(String(await store.get('n'))).toBe('2')
    loseReply('DeleteItem')
    await expect(store.delete('n')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    expect(server.requests.filter((name) => name === 'DeleteItem')).toHaveLength(1)
  })

  test('get, set and touch are retried', async () => {
    loseReply('PutItem')
    await store.set('k', 'v')
    loseReply('UpdateItem')
    expect(await store.touch('k', 60_000)).toBe(true)
    loseReply('GetItem')
    expect(String(await store.get('k'))).toBe('v')
  })
})
