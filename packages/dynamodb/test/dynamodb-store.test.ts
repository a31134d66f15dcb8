import {
  type AttributeValue,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb'
import { Cache, type Consistency } from '@stowage/core'
import { ConsumptionMeter, type DynamoDBOptions, dynamodb } from '@stowage/dynamodb'
import { ManualClock } from '@stowage/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { admin, createTable, type Engine, engines, useCredentials } from './engines.ts'
import { type Body, exception, type FaultServer, startFaultServer } from './fault-server.ts'

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

describe('items', () => {
  test('store text as a string, an integer as a number, and bytes as binary', async () => {
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

  test('store the expiry in epoch seconds, rounded up, and the remainder in milliseconds', async () => {
    const store = storeWith({ clock: new ManualClock(start + 1) })
    await store.set('k', 'v', 1_500)
    expect(await itemAt('k')).toMatchObject({
      expires_at: { N: `${start / 1_000 + 2}` },
      early_ms: { N: '499' },
    })
    await store.touch('k')
    expect(await itemAt('k')).toEqual({ key: { S: 'k' }, value: { S: 'v' } })
  })

  test('use the configured attribute names', async () => {
    const attributes = { value: 'payload', ttl: 'ttl' }
    const store = storeWith({ attributes })
    await store.set('named', 'v', 60_000)
    expect(await itemAt('named')).toMatchObject({
      payload: { S: 'v' },
      ttl: { N: expect.stringMatching(/^\d+$/) },
    })
    expect(String(await store.get('named'))).toBe('v')
  })

  test('of other programs can be read, except for other types', async () => {
    const cache = new Cache(storeWith({ clock: new ManualClock(start + 999) }))
    const seconds = { N: `${start / 1_000}` }
    await put('json', { value: { S: '[1,2]' }, expires_at: { N: `${start / 1_000 + 1}` } })
    await put('binary', { value: { B: Buffer.from('"text"') } })
    await put('number', { value: { N: '1.5' } })
    await put('expired', { value: { S: '1' }, expires_at: seconds })
    await put('list', { value: { L: [] } })
    await put('php', { value: { S: 's:3:"abc";' } })
    expect(await cache.getMany(['json', 'binary', 'number', 'expired', 'list', 'php'])).toEqual([
      [1, 2],
      'text',
      1.5,
      undefined,
      undefined,
      undefined,
    ])
    expect(await cache.add('expired', 'new')).toBe(true)
    await expect(cache.increment('number')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    expect(await itemAt('number')).toMatchObject({ value: { N: '1.5' } })
    expect(await cache.update('binary', (text) => `${text}!`)).toBe('text!')
    expect(await cache.pull('number')).toBe(1.5)
  })
})

test('an item with an expiry that is not a number never expires, for any operation', async () => {
  const store = storeWith({ scan: true })
  const keys = ['a', 'b', 'c', 'd', 'e'].map((name) => `odd:${name}`)
  for (const key of keys) await put(key, { value: { N: '1' }, expires_at: { S: '2020-01-01' } })
  const [a = '', b = '', c = '', d = '', e = ''] = keys
  expect(await store.getMany(keys)).toEqual(keys.map(() => '1'))
  const listed: string[] = []
  for await (const page of store.scan?.('odd:') ?? []) listed.push(...page)
  expect(listed.sort()).toEqual(keys)
  expect(await store.add(a, '2')).toBe(false)
  expect(await store.increment(b, 1)).toBe(2)
  expect(await store.compareAndSet(c, '1', '2')).toBe(true)
  expect(await store.touch(d, 60_000)).toBe(true)
  expect(await store.delete(e)).toBe(true)
})

describe('an expired item that is not deleted yet', () => {
  // A whole second, and the first and last millisecond of one, where the two attributes interact.
  test.each([1_000, 1_001, 1_999, 500])(
    'is missing for every operation from the same millisecond on (ttl %i ms)',
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
        const listed: string[] = []
        for await (const page of store.scan?.(`${ttl}:${from}:`) ?? []) listed.push(...page)
        expect(listed).toEqual([])
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

describe('200 concurrent calls of two stores', () => {
  const both = <T>(call: (store: ReturnType<typeof dynamodb>, index: number) => T) => {
    const stores = [storeWith(), storeWith()] as const
    return Promise.all(
      Array.from({ length: 200 }, (_, index) => call(stores[index % 2 === 0 ? 0 : 1], index)),
    )
  }

  test('let only one add succeed', async () => {
    const added = await both((store, index) => store.add('once', `"${index}"`))
    expect(added.filter(Boolean)).toHaveLength(1)
  })

  test('lose no increment, even if the counter is created with a ttl', async () => {
    const sums = await both((store) => store.increment('count', 1, 60_000))
    expect(sums.sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, n) => n + 1))
  })

  test('let only one compareAndSet replace, and only one delete', async () => {
    await storeWith().set('swap', 'old')
    const swapped = await both((store, index) => store.compareAndSet('swap', 'old', `${index}x`))
    expect(swapped.filter(Boolean)).toHaveLength(1)
    const last = `${swapped.indexOf(true)}x`
    const deleted = await both((store) => store.compareAndSet('swap', last, undefined))
    expect(deleted.filter(Boolean)).toHaveLength(1)
  })
})

describe('reads', () => {
  /** For each read, the keys that it requested strongly consistent. */
  function recordStrongKeys(): () => string[] {
    const strong: string[] = []
    server.decide = (_, body) => {
      const { Key, ConsistentRead, RequestItems } = body
      if (ConsistentRead) strong.push(Key.key.S)
      const { Keys = [], ...batch } = RequestItems?.cache ?? {}
      if (batch.ConsistentRead) strong.push(...Keys.map((key: Body) => key.key.S))
      return undefined
    }
    return () => strong.splice(0).sort()
  }

  /** The strongly consistent keys of the reads before and after a write. */
  async function consistentReads(options: Partial<DynamoDBOptions>): Promise<string[][]> {
    const strongKeys = recordStrongKeys()
    const store = storeWith(options)
    await store.get('read')
    const reads = [strongKeys()]
    await store.set('read', 'v')
    await store.get('read')
    reads.push(strongKeys())
    for (const keys of [['other', 'read'], ['other']]) {
      await store.getMany(keys)
      reads.push(strongKeys())
    }
    return reads
  }

  test('are strongly consistent for what this process wrote, and otherwise eventually', async () => {
    expect(await consistentReads({})).toEqual([[], ['read'], ['read'], []])
  })

  test('are always or never strongly consistent if configured', async () => {
    const all = [['read'], ['read'], ['other', 'read'], ['other']]
    expect(await consistentReads({ consistency: 'strong' })).toEqual(all)
    expect(await consistentReads({ consistency: 'eventual' })).toEqual([[], [], [], []])
  })

  test.each(['eventual', 'session', 'strong'] as const)(
    'follow the option of the call in a store with the default %s',
    async (consistency) => {
      const store = storeWith({ consistency })
      const other = `not written, ${consistency}`
      await store.set('written', 'v')
      const strongKeys = recordStrongKeys()
      const reads = [['written'], [other], [other, 'written'], [other, `${other}!`]]
      const strong = async (requested: Consistency) => {
        const found: string[][] = []
        for (const keys of reads) {
          const [key = ''] = keys
          if (keys.length === 1) await store.get(key, { consistency: requested })
          else await store.getMany(keys, { consistency: requested })
          found.push(strongKeys())
        }
        return found
      }
      expect(await strong('eventual')).toEqual([[], [], [], []])
      expect(await strong('session')).toEqual([['written'], [], ['written'], []])
      expect(await strong('strong')).toEqual(reads)
    },
  )

  test('with a stronger consistency are not merged with others', async () => {
    const reads: [string, unknown][] = []
    const store = storeWith({ consistency: 'eventual' })
    server.decide = (name, body) => {
      reads.push([name, body.ConsistentRead ?? body.RequestItems.cache.ConsistentRead])
      return undefined
    }
    await Promise.all([
      store.get('a'),
      store.get('b'),
      store.get('c', { consistency: 'strong' }),
      store.get('d'),
    ])
    expect(reads).toHaveLength(2)
    expect(reads).toContainEqual(['GetItem', true])
    expect(reads).toContainEqual(['BatchGetItem', false])
  })

  test('include what another process wrote once its token is observed', async () => {
    const clock = new ManualClock(start)
    const [writer, reader] = [storeWith({ clock }), storeWith({ clock })]
    const flags: unknown[] = []
    expect(await writer.consistencyToken?.()).toBe('')
    await writer.set('observed', 'v')
    const token = (await writer.consistencyToken?.()) ?? ''
    server.decide = (_, { ConsistentRead }) => void flags.push(ConsistentRead)
    const read = () => reader.get('observed')
    await read()
    for (const invalid of ['', 'no token', 'zzzzzzzzzzz']) reader.observe?.(invalid)
    await read()
    reader.observe?.(token)
    await read()
    await reader.get('observed', { consistency: 'eventual' })
    await clock.advance(4_000)
    await read()
    // The write is old enough to have reached every replica.
    reader.observe?.(token)
    await read()
    expect(flags).toEqual([false, false, true, false, false, false])
  })

  test('are eventually consistent again some seconds after a write', async () => {
    const clock = new ManualClock()
    const flags: unknown[] = []
    const store = storeWith({ clock })
    await store.set('aging', 'v')
    server.decide = (_, { ConsistentRead }) => void flags.push(ConsistentRead)
    for (const ms of [0, 1_500, 3_000]) {
      await clock.advance(ms)
      await store.get('aging')
    }
    expect(flags).toEqual([true, true, false])
  })
})

test('clears a prefix with one read and one write, and keeps other keys and the table', async () => {
  const cache = new Cache(storeWith(), { prefix: 'gen:' })
  await cache.setMany(Array.from({ length: 100 }, (_, index) => [`k${index}`, index]))
  await put('generous', { value: { S: '1' } })
  server.requests.length = 0
  await cache.clear()
  expect(server.requests).toEqual(['GetItem', 'PutItem'])
  expect(await cache.get('k1')).toBeUndefined()
  expect(await itemAt('generous')).toBeDefined()
})

test('counts consumed units and throttled requests until the meter is closed', async () => {
  const store = storeWith({ batching: false, consistency: 'eventual' })
  const meter = new ConsumptionMeter()
  await store.set('metered', 'x'.repeat(3_000))
  await store.get('metered')
  await store.getMany(['metered'])
  let rejected = 0
  server.decide = () => exception(rejected++ < 3 ? 'ThrottlingException' : 'AccessDeniedException')
  await expect(store.get('metered')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
  meter.close()
  server.decide = () => undefined
  await store.get('metered')
  // Three succeeded, three were throttled, one was denied.
  const consumed = { requests: 7, throttled: 3, readUnits: 1, writeUnits: 3 }
  expect(meter.of('cache')).toEqual(consumed)
})
