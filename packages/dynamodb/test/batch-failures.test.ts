import { setTimeout as sleep } from 'node:timers/promises'
import { PutItemCommand } from '@aws-sdk/client-dynamodb'
import { Cache, type Payload } from '@stowage/core'
import { BatchError } from '@stowage/core/driver'
import { type DynamoDBOptions, dynamodb } from '@stowage/dynamodb'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { admin, createTable, type Engine, engines, region, useCredentials } from './engines.ts'
import { type Body, exception, type FaultServer, startFaultServer } from './fault-server.ts'

let engine: Engine
let server: FaultServer
const cleanups: (() => Promise<unknown>)[] = []
const keys = Array.from({ length: 250 }, (_, index) => `key ${index}`)
const entries: readonly (readonly [string, string])[] = keys.map((key) => [key, `value of ${key}`])

beforeAll(async () => {
  useCredentials()
  engine = await engines.dynalite()
  await createTable(engine, 'cache')
})

beforeEach(async () => {
  server = await startFaultServer(engine.url)
  cleanups.push(() => server.stop())
})

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

afterAll(() => engine.stop())

/** A store whose calls do not time out because the machine is slow. */
function storeWith(options: Partial<DynamoDBOptions> = {}) {
  const place = { table: 'cache', endpoint: server.url, region }
  const store = dynamodb({ ...place, timeout: '1m', requestTimeout: '30s', ...options })
  cleanups.push(() => store.close())
  return store
}

/**
 * Stores entries, and returns a store whose calls have at least five times as long as that took: a key that is never
 * processed fails at the deadline, and the others must not.
 */
async function storeWithEntries(options: Partial<DynamoDBOptions> = {}, stored = entries) {
  const start = performance.now()
  await storeWith(options).setMany(stored, 60_000)
  const timeout = Math.round(Math.max(3_000, 5 * (performance.now() - start)))
  return storeWith({ ...options, timeout, requestTimeout: timeout })
}

const text = (value: unknown) => (value === undefined ? undefined : String(value))

const settle = (calls: readonly unknown[]) => Promise.allSettled(calls.map((call) => call))

/** Never processes the requests of a batch for these keys. */
function leaveUnprocessed(...unprocessed: string[]): void {
  const isLeft = (key: string) => unprocessed.includes(key)
  server.decide = async (name, body) => {
    if (!name.startsWith('Batch')) return undefined
    const { cache } = body.RequestItems
    const isRead = name === 'BatchGetItem'
    const requests: Body[] = isRead ? cache.Keys : cache
    const keyOf = ({ key, PutRequest, DeleteRequest }: Body) =>
      (key ?? (PutRequest ? PutRequest.Item.key : DeleteRequest.Key.key)).S
    const left = requests.filter((request) => isLeft(keyOf(request)))
    if (left.length === 0) return undefined
    const done = requests.filter((request) => !isLeft(keyOf(request)))
    const rest = (some: Body[]) => ({ cache: isRead ? { ...cache, Keys: some } : some })
    const reply = done.length === 0 ? {} : await server.forward(name, { RequestItems: rest(done) })
    const member = isRead ? 'UnprocessedKeys' : 'UnprocessedItems'
    return { body: { ...reply, [member]: rest(left) } }
  }
}

describe('a key that is never processed fails alone', () => {
  const rejected = { status: 'rejected', reason: { code: 'ERR_CACHE_REJECTED', key: 'key 7' } }

  test('among gets of a tick, and in getMany', async () => {
    const store = await storeWithEntries()
    leaveUnprocessed('key 7')
    const outcomes = await settle(keys.map((key) => store.get(key)))
    expect(outcomes[7]).toMatchObject(rejected)
    const values = outcomes.map((each) => each.status === 'fulfilled' && text(each.value))
    expect(values.toSpliced(7, 1)).toEqual(entries.map(([, value]) => value).toSpliced(7, 1))
    const error = await Promise.resolve(store.getMany(['key 1', 'key 7', 'key 1'])).catch((e) => e)
    expect(error).toBeInstanceOf(BatchError)
    expect(error.outcomes).toMatchObject([
      { status: 'fulfilled' },
      rejected,
      { status: 'fulfilled' },
    ])
    expect(text(error.outcomes[2].value)).toBe('value of key 1')
  })

  test('among sets of a tick, and the others are stored', async () => {
    const store = await storeWithEntries()
    leaveUnprocessed('key 7')
    const outcomes = await settle(entries.map(([key]) => store.set(key, `new ${key}`)))
    const failed = outcomes.filter(({ status }) => status === 'rejected')
    expect(failed).toMatchObject([rejected])
    server.decide = () => undefined
    const found = await store.getMany(['key 6', 'key 8', 'key 249'])
    expect(found.map(text)).toEqual(['new key 6', 'new key 8', 'new key 249'])
  })

  test('in deleteMany, and the others are deleted', async () => {
    const store = await storeWithEntries()
    leaveUnprocessed('key 7')
    await expect(store.deleteMany(['key 6', 'key 7', 'missing'])).rejects.toMatchObject({
      outcomes: [{ value: true }, rejected, { value: false }],
    })
    server.decide = () => undefined
    expect((await store.getMany(['key 6', 'key 7'])).map(Boolean)).toEqual([false, true])
  })

  test('with values that are compressed or in chunks', async () => {
    const long = (key: string) => `${key} `.repeat(100)
    const stored = keys.slice(0, 20).map((key) => [key, long(key)] as const)
    const store = await storeWithEntries({ chunks: true, compressionThreshold: 64 }, stored)
    leaveUnprocessed('key 7')
    const outcomes = await settle(keys.slice(0, 20).map((key) => store.get(key)))
    expect(outcomes[7]).toMatchObject(rejected)
    expect(text((outcomes[8] as PromiseFulfilledResult<unknown>).value)).toBe(long('key 8'))
  })
})

test('a chunk that is throttled does not fail the keys of other chunks', async () => {
  const store = await storeWithEntries()
  server.decide = (_, { RequestItems }) =>
    JSON.stringify(RequestItems).includes('"key 150"')
      ? exception('ProvisionedThroughputExceededException')
      : undefined
  const outcomes = await settle(keys.map((key) => store.get(key)))
  const failed = outcomes.flatMap(({ status }, index) => (status === 'rejected' ? [index] : []))
  expect(failed).toEqual(Array.from({ length: 100 }, (_, index) => 100 + index))
})

test('an oversized value fails alone among sets of a tick', async () => {
  const store = storeWith({ compressionThreshold: 64, maxValueBytes: 1_000_000 })
  const incompressible = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000)))
  const tooLarge = Buffer.concat(Array.from({ length: 8 }, () => incompressible))
  await store.set('large', 'old')
  const outcomes = await settle([
    store.set('large', tooLarge),
    store.set('small', 'fits'),
    store.set('small too', 'fits'),
  ])
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
  expect((await store.getMany(['large', 'small'])).map(text)).toEqual([undefined, 'fits'])
})

describe('the calls of one key in a tick take effect in their order', () => {
  const randomDelays = () => {
    server.decide = async () => {
      await sleep(Math.random() * 8)
      return undefined
    }
  }

  test.each([true, false])('with batching: %s', async (batching) => {
    const store = storeWith({ batching, consistency: 'strong' })
    randomDelays()
    for (let round = 0; round < 25; round++) {
      const key = `ordered ${round}`
      const reads: Promise<Payload | undefined>[] = []
      const read = () => reads.push(Promise.resolve(store.get(key)))
      const writes: unknown[] = []
      for (const value of ['a', 'b', 'c']) {
        writes.push(store.set(key, value, value === 'b' ? 60_000 : undefined))
        read()
      }
      writes.push(store.delete(key))
      read()
      writes.push(store.add(key, 'd'), store.increment(`${key} n`, 1), store.touch(key, 60_000))
      read()
      writes.push(store.compareAndSet(key, 'd', 'e'))
      read()
      await Promise.all(writes)
      expect((await Promise.all(reads)).map(text)).toEqual(['a', 'b', 'c', undefined, 'd', 'e'])
    }
  })
})

describe('requests that cost money', () => {
  test('are made once for repeated keys, however many keys a tick has', async () => {
    const store = storeWith()
    const strong: boolean[] = []
    server.decide = (_, { RequestItems }) => void strong.push(RequestItems.cache.ConsistentRead)
    await Promise.all([...keys, ...keys].map((key) => store.get(key)))
    expect(strong).toEqual([false, false, false])
  })

  test('are not made to count what clear() with scan deletes', async () => {
    const store = storeWith({ scan: true })
    const cache = new Cache(store, { prefix: 'counted:' })
    await cache.setMany(keys.map((key) => [key, 1] as const))
    server.requests.length = 0
    await cache.clear()
    expect(new Set(server.requests)).toEqual(new Set(['Scan', 'BatchWriteItem']))
    // Elsewhere deleteMany counts what exists now.
    await store.setMany([
      ['page 1', 'v'],
      ['page 2', 'v'],
    ])
    let deleted = 0
    for await (const page of store.scan?.('page') ?? []) {
      await new Promise((resolve) => setImmediate(resolve))
      await storeWith().delete('page 1')
      deleted += await store.deleteMany(page)
    }
    expect(deleted).toBe(1)
  })
})

describe('the id of a prefix', () => {
  test('is in one item, because a table loses nothing', async () => {
    const store = storeWith()
    expect(store.durable).toBe(true)
    expect(storeWith({ chunks: true }).durable).toBe(true)
    await new Cache(store, { prefix: 'durable:' }).get('k')
    const writes = server.requests.filter((name) => name === 'PutItem')
    expect(writes).toHaveLength(1)
  })

  test('replaces a foreign item under its key', async () => {
    const client = admin(engine)
    const foreign = { key: { S: 'foreign:~generation' }, value: { M: {} } }
    await client.send(new PutItemCommand({ TableName: 'cache', Item: foreign }))
    client.destroy()
    const cache = new Cache(storeWith(), { prefix: 'foreign:' })
    await cache.set('k', 1)
    expect(await cache.get('k')).toBe(1)
    await cache.clear()
    expect(await cache.get('k')).toBeUndefined()
    expect(server.requests.length).toBeLessThan(40)
  })
})
