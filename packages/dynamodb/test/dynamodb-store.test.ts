import {
  type AttributeValue,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb'
import { Cache } from '@stowage/core'
import { ConsumptionMeter, type DynamoDBOptions, dynamodb } from '@stowage/dynamodb'
import { ManualClock } from '@stowage/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { admin, createTable, type Engine, engines, useCredentials } from './engines.ts'
import { type FaultServer, startFaultServer } from './fault-server.ts'

let engine: Engine
let server: FaultServer
let client: DynamoDBClient
const cleanups: (() => Promise<unknown>)[] = []
const start = Date.UTC(2026, 0, 1)

beforeAll(async () => {
  useCredentials()
  engine = await engines['DynamoDB Local']()
  server = await startFaultServer(engine.url)
  client = admin(engine)
  await createTable(engine, 'cache')
})

afterEach(async () => {
  server.decide = () => undefined
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

afterAll(async () => {
  client.destroy()
  await server.stop()
  await engine.stop()
})

function storeWith(options: Partial<DynamoDBOptions> = {}) {
  const store = dynamodb({
    table: 'cache',
    region: 'eu-central-1',
    endpoint: server.url,
    timeout: '30s',
    requestTimeout: '20s',
    ...options,
  })
  cleanups.push(() => store.close())
  return store
}

async function itemAt(key: string) {
  const command = new GetItemCommand({ TableName: 'cache', Key: { key: { S: key } } })
  return (await client.send(command)).Item
}

async function put(key: string, item: Record<string, AttributeValue>): Promise<void> {
  await client.send(new PutItemCommand({ TableName: 'cache', Item: { key: { S: key }, ...item } }))
}

describe('in the table', () => {
  test('text is text, an integer a number, bytes are binary', async () => {
    const cache = new Cache(storeWith())
    await cache.set('user', { name: 'Ada' })
    await cache.set('n', 5)
    await cache.set('bytes', Buffer.from([0xff]))
    expect(await itemAt('user')).toEqual({ key: { S: 'user' }, value: { S: '{"name":"Ada"}' } })
    expect(await itemAt('n')).toEqual({ key: { S: 'n' }, value: { N: '5' } })
    expect((await itemAt('bytes'))?.value?.B).toBeInstanceOf(Uint8Array)
    expect(await cache.increment('n')).toBe(6)
    expect(await cache.get('n')).toBe(6)
  })

  test('the ttl attribute is epoch seconds, rounded up; the rest has its own', async () => {
    const store = storeWith({ clock: new ManualClock(start + 1) })
    await store.set('k', 'v', 1_500)
    expect(await itemAt('k')).toMatchObject({
      expires_at: { N: `${start / 1_000 + 2}` },
      early_ms: { N: '499' },
    })
    await store.touch('k')
    expect(await itemAt('k')).toEqual({ key: { S: 'k' }, value: { S: 'v' } })
  })

  test('attributes have the names they are given', async () => {
    const attributes = { value: 'payload', ttl: 'ttl' }
    const store = storeWith({ attributes })
    await store.set('named', 'v', 60_000)
    expect(await itemAt('named')).toMatchObject({ payload: { S: 'v' }, ttl: { N: /./ } })
    expect(String(await store.get('named'))).toBe('v')
  })

  test('what another program wrote is read as what it means', async () => {
    const cache = new Cache(storeWith({ clock: new ManualClock(start + 999) }))
    const seconds = { N: `${start / 1_000}` }
    await put('json', { value: { S: '[1,2]' }, expires_at: { N: `${start / 1_000 + 1}` } })
    await put('binary', { value: { B: Buffer.from('"text"') } })
    await put('number', { value: { N: '1.5' } })
    await put('ended', { value: { S: '1' }, expires_at: seconds })
    await put('list', { value: { L: [] } })
    await put('php', { value: { S: 's:3:"abc";' } })
    expect(await cache.getMany(['json', 'binary', 'number', 'ended', 'list', 'php'])).toEqual([
      [1, 2],
      'text',
      1.5,
      undefined,
      undefined,
      undefined,
    ])
    expect(await cache.add('ended', 'new')).toBe(true)
    await expect(cache.increment('number')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    expect(await itemAt('number')).toMatchObject({ value: { N: '1.5' } })
    expect(await cache.update('binary', (text) => `${text}!`)).toBe('text!')
    expect(await cache.pull('number')).toBe(1.5)
  })
})

test('what has an end that is no number never ends, for any operation', async () => {
  const store = storeWith({ scan: true })
  const keys = ['a', 'b', 'c', 'd', 'e'].map((name) => `odd:${name}`)
  for (const key of keys) await put(key, { value: { N: '1' }, expires_at: { S: '2020-01-01' } })
  const [a = '', b = '', c = '', d = '', e = ''] = keys
  expect(await store.getMany(keys)).toEqual(keys.map(() => '1'))
  const seen: string[] = []
  for await (const page of store.scan?.('odd:') ?? []) seen.push(...page)
  expect(seen.sort()).toEqual(keys)
  expect(await store.add(a, '2')).toBe(false)
  expect(await store.increment(b, 1)).toBe(2)
  expect(await store.compareAndSet(c, '1', '2')).toBe(true)
  expect(await store.touch(d, 60_000)).toBe(true)
  expect(await store.delete(e)).toBe(true)
})

describe('what has ended and is not deleted yet', () => {
  // Whole seconds, the last and the first millisecond of one: where seconds and milliseconds meet.
  test.each([1_000, 1_001, 1_999, 500])(
    'is seen by no operation, from the same millisecond on (ttl %i ms)',
    async (ttl) => {
      for (const from of [start, start + 1, start + 999]) {
        const clock = new ManualClock(from)
        const store = storeWith({ clock, scan: true })
        const keys = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${ttl}:${from}:${name}`)
        const [a = '', b = '', c = '', d = '', e = '', f = ''] = keys
        await store.setMany(
          keys.map((key) => [key, '1'] as const),
          ttl,
        )
        await clock.advance(ttl - 1)
        expect(await store.getMany(keys)).toEqual(keys.map(() => '1'))
        expect(await store.add(a, '2')).toBe(false)
        expect(await store.compareAndSet(f, '1', '1', 1)).toBe(true)
        await clock.advance(1)
        expect(await store.getMany(keys)).toEqual(keys.map(() => undefined))
        const seen: string[] = []
        for await (const page of store.scan?.(`${ttl}:${from}:`) ?? []) seen.push(...page)
        expect(seen).toEqual([])
        expect(await store.touch(b, 60_000)).toBe(false)
        expect(await store.compareAndSet(c, '1', '2')).toBe(false)
        expect(await store.delete(d)).toBe(false)
        expect(await store.increment(e, 1, 60_000)).toBe(1)
        expect(await store.deleteMany([b, c, d, f])).toBe(0)
        expect(await store.add(a, '2')).toBe(true)
      }
    },
  )
})

describe('200 at once, of two stores', () => {
  const both = <T>(call: (store: ReturnType<typeof dynamodb>, index: number) => T) => {
    const stores = [storeWith(), storeWith()] as const
    return Promise.all(
      Array.from({ length: 200 }, (_, index) => call(stores[index % 2 === 0 ? 0 : 1], index)),
    )
  }

  test('one add stores', async () => {
    const added = await both((store, index) => store.add('once', `"${index}"`))
    expect(added.filter(Boolean)).toHaveLength(1)
  })

  test('every increment counts, also where the counter has to be created with a ttl', async () => {
    const sums = await both((store) => store.increment('count', 1, 60_000))
    expect(sums.sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, n) => n + 1))
  })

  test('one compareAndSet replaces, and one deletes', async () => {
    await storeWith().set('swap', 'old')
    const swapped = await both((store, index) => store.compareAndSet('swap', 'old', `${index}x`))
    expect(swapped.filter(Boolean)).toHaveLength(1)
    const last = `${swapped.indexOf(true)}x`
    const deleted = await both((store) => store.compareAndSet('swap', last, undefined))
    expect(deleted.filter(Boolean)).toHaveLength(1)
  })
})

describe('reads', () => {
  /** Whether the reads of a key were strongly consistent, before and after it was written. */
  async function readsOf(options: Partial<DynamoDBOptions>): Promise<unknown[]> {
    const seen: unknown[] = []
    server.decide = (_, body) => {
      if ('ConsistentRead' in body) seen.push(body.ConsistentRead)
      if (body.RequestItems?.cache?.Keys) seen.push(body.RequestItems.cache.ConsistentRead)
      return undefined
    }
    const store = storeWith(options)
    await store.get('read')
    await store.set('read', 'v')
    await store.get('read')
    await store.getMany(['other', 'read'])
    await store.getMany(['other'])
    return seen
  }

  test('see what this process has written, and cost half of it otherwise', async () => {
    expect(await readsOf({})).toEqual([false, true, true, false])
  })

  test('see everything, or anything, where that is chosen', async () => {
    expect(await readsOf({ consistency: 'strong' })).toEqual([true, true, true, true])
    expect(await readsOf({ consistency: 'eventual' })).toEqual([false, false, false, false])
  })

  test.each(['eventual', 'session', 'strong'] as const)(
    'are as recent as the call asks for, in a store that is %s itself',
    async (consistency) => {
      const seen: unknown[] = []
      const store = storeWith({ consistency })
      const other = `asked ${consistency}`
      await store.set('written', 'v')
      server.decide = (_, body) => {
        seen.push(body.ConsistentRead ?? body.RequestItems.cache.ConsistentRead)
        return undefined
      }
      for (const asked of ['eventual', 'session', 'strong'] as const) {
        await store.get('written', { consistency: asked })
        await store.get(other, { consistency: asked })
        await store.getMany(['written', other], { consistency: asked })
        await store.getMany([other, `${other}!`], { consistency: asked })
      }
      const [eventual, session, strong] = [
        [false, false, false, false],
        [true, false, true, false],
        [true, true, true, true],
      ]
      expect(seen).toEqual([eventual, session, strong].flat())
    },
  )

  test('that ask for more than usual are not merged with those that do not', async () => {
    const seen: [string, unknown][] = []
    const store = storeWith({ consistency: 'eventual' })
    server.decide = (name, body) => {
      seen.push([name, body.ConsistentRead ?? body.RequestItems.cache.ConsistentRead])
      return undefined
    }
    await Promise.all([
      store.get('a'),
      store.get('b'),
      store.get('c', { consistency: 'strong' }),
      store.get('d'),
    ])
    expect(seen).toHaveLength(3)
    expect(seen).toContainEqual(['GetItem', true])
    expect(seen).toContainEqual(['BatchGetItem', false])
  })

  test('see what another process wrote, where its token is observed', async () => {
    const clock = new ManualClock(start)
    const [writer, reader] = [storeWith({ clock }), storeWith({ clock })]
    const seen: unknown[] = []
    expect(await writer.consistencyToken?.()).toBe('')
    await writer.set('told', 'v')
    const token = (await writer.consistencyToken?.()) ?? ''
    server.decide = (_, { ConsistentRead }) => void seen.push(ConsistentRead)
    const read = () => reader.get('told')
    await read()
    for (const text of ['', 'no token', 'zzzzzzzzzzz']) reader.observe?.(text)
    await read()
    reader.observe?.(token)
    await read()
    await reader.get('told', { consistency: 'eventual' })
    await clock.advance(4_000)
    await read()
    // What is old enough to have arrived everywhere costs nothing more.
    reader.observe?.(token)
    await read()
    expect(seen).toEqual([false, false, true, false, false, false])
  })

  test('go back to half the price when a write is some seconds old', async () => {
    const clock = new ManualClock()
    const seen: unknown[] = []
    const store = storeWith({ clock })
    await store.set('aging', 'v')
    server.decide = (_, { ConsistentRead }) => void seen.push(ConsistentRead)
    for (const ms of [0, 1_500, 3_000]) {
      await clock.advance(ms)
      await store.get('aging')
    }
    expect(seen).toEqual([true, true, false])
  })
})

test('clear of a prefix is a read and a write; other keys and the table stay', async () => {
  const cache = new Cache(storeWith(), { prefix: 'gen:' })
  await cache.setMany(Array.from({ length: 100 }, (_, index) => [`k${index}`, index]))
  await put('generous', { value: { S: '1' } })
  server.requests.length = 0
  await cache.clear()
  expect(server.requests).toEqual(['GetItem', 'PutItem'])
  expect(await cache.get('k1')).toBeUndefined()
  expect(await itemAt('generous')).toBeDefined()
})

test('consumed units are counted while somebody listens, throttled requests too', async () => {
  const store = storeWith({ batching: false, consistency: 'eventual' })
  const meter = new ConsumptionMeter()
  await store.set('metered', 'x'.repeat(3_000))
  await store.get('metered')
  await store.getMany(['metered'])
  server.decide = () => ({
    status: 400,
    body: { __type: 'x#ThrottlingException', message: 'slow down' },
  })
  await expect(store.get('metered')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
  meter.close()
  server.decide = () => undefined
  await store.get('metered')
  expect(meter.of('cache')).toEqual({ requests: 6, throttled: 3, readUnits: 1, writeUnits: 3 })
})
