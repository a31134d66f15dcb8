import { dynamodb } from '@stowage/dynamodb'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createTable, type Engine, engines, useCredentials } from './engines.ts'
import { type Body, type FaultServer, refusal, startFaultServer } from './fault-server.ts'

let engine: Engine
let server: FaultServer
let store: ReturnType<typeof dynamodb>
const options = { table: 'cache', region: 'eu-central-1' } as const
const keys = Array.from({ length: 1_000 }, (_, index) => `key ${index}`)
const entries = keys.map((key, index) => [key, `value ${index}`] as const)

beforeAll(async () => {
  useCredentials()
  engine = await engines['DynamoDB Local']()
  await createTable(engine, 'cache')
})

beforeEach(async () => {
  server = await startFaultServer(engine.url)
  store = dynamodb({ ...options, endpoint: server.url, timeout: '20s', requestTimeout: '10s' })
})

afterEach(async () => {
  await store.close()
  await server.stop()
})

afterAll(() => engine.stop())

describe('batches of 1000', () => {
  /** Leaves most of a batch undone, or refuses all of it, as often as not. */
  async function unreliable(name: string, body: Body) {
    if (name === 'BatchGetItem') return unreliableGet(body)
    if (name === 'BatchWriteItem') return unreliableWrite(body)
    return undefined
  }

  async function unreliableGet({ RequestItems: { cache } }: Body) {
    if (Math.random() < 0.2) return refusal('ProvisionedThroughputExceededException')
    const { Keys: all, ...rest } = cache as { Keys: object[] }
    const done = all.slice(0, Math.ceil(all.length / 2))
    const answer = await server.pass('BatchGetItem', {
      RequestItems: { cache: { ...rest, Keys: done } },
    })
    const left = all.slice(done.length)
    const UnprocessedKeys = left.length === 0 ? {} : { cache: { ...rest, Keys: left } }
    return { body: { ...answer, UnprocessedKeys } }
  }

  async function unreliableWrite({ RequestItems: { cache } }: Body) {
    if (Math.random() < 0.2) return refusal('ThrottlingException')
    const all = cache as object[]
    const done = all.slice(0, Math.ceil(all.length / 2))
    await server.pass('BatchWriteItem', { RequestItems: { cache: done } })
    const left = all.slice(done.length)
    return { body: { UnprocessedItems: left.length === 0 ? {} : { cache: left } } }
  }

  test('lose nothing where the server leaves items undone and throttles', async () => {
    server.decide = unreliable
    await store.setMany(entries, 60_000)
    const found = await store.getMany([...keys, ...keys])
    expect(found.map(String)).toEqual([...entries, ...entries].map(([, value]) => value))
    expect(await store.deleteMany(keys)).toBe(1_000)
    server.decide = () => undefined
    expect((await store.getMany(keys)).every((each) => each === undefined)).toBe(true)
  })

  test('are 10 requests to read, 40 to write, and keys given twice are asked for once', async () => {
    await store.setMany([...entries, ...entries])
    await store.getMany([...keys, ...keys])
    expect(server.requests).toHaveLength(50)
  })

  test('send nothing more once a part has failed, and wait for what is under way', async () => {
    let underWay = 0
    server.decide = async () => {
      underWay++
      await new Promise((resolve) => setTimeout(resolve, 20 * underWay))
      underWay--
      return refusal('AccessDeniedException')
    }
    await expect(store.setMany(entries)).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    expect(underWay).toBe(0)
    const sent = server.requests.length
    expect(sent).toBeLessThanOrEqual(8)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(server.requests).toHaveLength(sent)
  })

  test('report what is left undone when the time is over', async () => {
    const impatient = dynamodb({ ...options, endpoint: server.url, timeout: '200ms' })
    server.decide = (_, { RequestItems }) => ({ body: { UnprocessedItems: RequestItems } })
    await expect(impatient.setMany(entries.slice(0, 20))).rejects.toMatchObject({
      code: 'ERR_CACHE_REJECTED',
      retryable: true,
      message: expect.stringContaining('20 items'),
    })
    await impatient.close()
  })
})

describe('calls of one tick', () => {
  test('are merged: gets into BatchGetItem, sets into BatchWriteItem', async () => {
    await Promise.all(keys.slice(0, 50).map((key) => store.set(key, 'x', 60_000)))
    await Promise.all(keys.slice(0, 50).map((key) => store.get(key)))
    expect(server.requests).toEqual(['BatchWriteItem', 'BatchWriteItem', 'BatchGetItem'])
  })

  test('are not, where that is switched off', async () => {
    const apart = dynamodb({ ...options, endpoint: server.url, batching: false })
    await Promise.all(keys.slice(0, 3).map((key) => apart.get(key)))
    expect(server.requests).toEqual(['GetItem', 'GetItem', 'GetItem'])
    await apart.close()
  })
})

describe('an answer that is lost', () => {
  const once = (lost: string) => {
    let left = 1
    server.decide = (name) => (name === lost && left-- > 0 ? 'lose the answer' : undefined)
  }

  test('add knows that it has added', async () => {
    once('PutItem')
    expect(await store.add('lock', 'mine', 60_000)).toBe(true)
    expect(await store.add('lock', 'theirs', 60_000)).toBe(false)
    expect(String(await store.get('lock'))).toBe('mine')
  })

  test('add knows that somebody else was first', async () => {
    await store.set('taken', 'theirs')
    once('PutItem')
    expect(await store.add('taken', 'mine')).toBe(false)
  })

  test('compareAndSet knows that it has replaced', async () => {
    await store.set('swapped', 'old')
    once('PutItem')
    expect(await store.compareAndSet('swapped', 'old', 'new')).toBe(true)
    once('PutItem')
    expect(await store.compareAndSet('swapped', 'old', 'newer')).toBe(false)
  })

  test('what cannot tell is reported, and never sent again', async () => {
    await store.increment('n', 1)
    once('UpdateItem')
    await expect(store.increment('n', 1)).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      retryable: true,
    })
    expect(String(await store.get('n'))).toBe('2')
    once('DeleteItem')
    await expect(store.delete('n')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
    expect(server.requests.filter((name) => name === 'DeleteItem')).toHaveLength(1)
  })

  test('what can be repeated is: get, set, touch', async () => {
    once('PutItem')
    await store.set('k', 'v')
    once('UpdateItem')
    expect(await store.touch('k', 60_000)).toBe(true)
    once('GetItem')
    expect(String(await store.get('k'))).toBe('v')
  })
})
