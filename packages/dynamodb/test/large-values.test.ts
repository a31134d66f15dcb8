import { randomBytes } from 'node:crypto'
import {
  DeleteItemCommand,
  DynamoDBClient,
  PutItemCommand,
  paginateScan,
} from '@aws-sdk/client-dynamodb'
import { Cache, type Payload } from '@stowage/core'
import { toText } from '@stowage/core/driver'
import { type DynamoDBOptions, dynamodb } from '@stowage/dynamodb'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  admin,
  createTable,
  credentials,
  type Engine,
  engines,
  region,
  useCredentials,
} from './engines.ts'
import { type Body, exception, type FaultServer, startFaultServer } from './fault-server.ts'

let engine: Engine
let server: FaultServer
const cleanups: (() => Promise<unknown>)[] = []
const mebibyte = 1_048_576
const location = { region, credentials }

beforeAll(async () => {
  useCredentials()
  engine = await engines['DynamoDB Local']()
  server = await startFaultServer(engine.url)
  await createTable(engine, 'cache')
})

afterEach(async () => {
  server.decide = () => undefined
  const store = storeWith({})
  await store.clear()
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

afterAll(async () => {
  await server.stop()
  await engine.stop()
})

function storeWith(options: Partial<DynamoDBOptions>) {
  const client = () => admin({ ...engine, url: server.url })
  const longTimeouts = { timeout: '30s', requestTimeout: '20s' } as const
  const store = dynamodb({ table: 'cache', client, ...longTimeouts, ...options })
  cleanups.push(() => store.close())
  return store
}

/** All keys in the table, those of chunks included. */
async function keysInTable(): Promise<string[]> {
  const client = admin(engine)
  const keys: string[] = []
  for await (const { Items = [] } of paginateScan({ client }, { TableName: 'cache' })) {
    keys.push(...Items.map((item) => item.key?.S ?? ''))
  }
  return keys
}

/** `toEqual` compares a mebibyte byte by byte, and takes a hundred times as long. */
function expectBytes(actual: Payload | undefined, expected: Buffer): void {
  expect(actual).toBeInstanceOf(Uint8Array)
  expect(expected.equals(actual as Uint8Array)).toBe(true)
}

test('rejects a value over the limit with its size, and deletes the old one', async () => {
  const store = storeWith({})
  await store.set('k', 'old')
  await expect(store.set('k', 'x'.repeat(mebibyte))).rejects.toMatchObject({
    code: 'ERR_CACHE_LIMIT',
    message: expect.stringContaining(`${mebibyte} bytes`),
  })
  expect(await store.get('k')).toBeUndefined()
})

test('stores a compressed value, or rejects it with both sizes', async () => {
  const store = storeWith({ compressionThreshold: 1_024 })
  await store.set('k', 'x'.repeat(mebibyte), 60_000)
  expect(toText((await store.get('k')) ?? '')).toBe('x'.repeat(mebibyte))
  const error = await Promise.resolve(store.set('k', randomBytes(mebibyte))).catch((e) => e)
  expect(error.code).toBe('ERR_CACHE_LIMIT')
  expect(error.message).toMatch(/^The value has 1048576 bytes, 10\d{5} compressed; .* 405504/)
  expect(await store.get('k')).toBeUndefined()
})

test('writes and deletes chunks together with their value', async () => {
  const store = storeWith({ chunks: true })
  const [first, second] = [randomBytes(mebibyte), randomBytes(2 * mebibyte)]
  await store.set('k', first)
  expect(await keysInTable()).toHaveLength(4)
  await store.set('k', second)
  expect(await keysInTable()).toHaveLength(7)
  expect(await store.compareAndSet('k', first, 'no')).toBe(false)
  expect(await store.compareAndSet('k', second, first)).toBe(true)
  expect(await keysInTable()).toHaveLength(4)
  expect(await store.add('k', second)).toBe(false)
  expect(await keysInTable()).toHaveLength(4)
  const [found, missing] = await store.getMany(['k', 'none'])
  expectBytes(found, first)
  expect(missing).toBeUndefined()
  expect(await store.touch('k', 60_000)).toBe(true)
  expect(await store.delete('k')).toBe(true)
  expect(await keysInTable()).toEqual([])
})

test('deletes the old value and every chunk when a value is rejected', async () => {
  const store = storeWith({ chunks: true, maxValueBytes: mebibyte })
  const fits = randomBytes(mebibyte)
  await store.set('k', fits)
  const tooLarge = randomBytes(mebibyte + 1)
  const limitError = { code: 'ERR_CACHE_LIMIT' }
  await expect(store.set('k', tooLarge)).rejects.toMatchObject(limitError)
  expect(await keysInTable()).toEqual([])
  await store.set('k', fits)
  const entries = [
    ['k', tooLarge],
    ['l', fits],
  ] as const
  await expect(store.setMany(entries)).rejects.toMatchObject({
    ...limitError,
    outcomes: [{ status: 'rejected' }, { status: 'fulfilled' }],
  })
  expectBytes(await store.get('l'), fits)
  await store.delete('l')
  expect(await keysInTable()).toEqual([])
})

test('reads a value with a missing chunk as a miss, and overwrites it', async () => {
  const store = storeWith({ chunks: true, consistency: 'strong' })
  await store.set('k', randomBytes(mebibyte))
  const chunk = (await keysInTable()).find((key) => key.includes('\0chunk:')) ?? ''
  const command = new DeleteItemCommand({ TableName: 'cache', Key: { key: { S: chunk } } })
  await admin(engine).send(command)
  expect(await store.get('k')).toBeUndefined()
  expect(await store.getMany(['k'])).toEqual([undefined])
  await store.set('k', 'small')
  expect(String(await store.get('k'))).toBe('small')
  expect(await keysInTable()).toEqual(['k'])
})

test('never reads a mixture of two values while they are written', async () => {
  const store = storeWith({ chunks: true, consistency: 'strong' })
  const values = [1, 2, 3].map((byte) => Buffer.alloc(mebibyte, byte))
  await store.set('k', values[0] as Buffer)
  let writing = true
  const writes = (async () => {
    for (const value of [...values, ...values]) await store.set('k', value)
    writing = false
  })()
  while (writing) {
    const found = (await store.get('k')) as Buffer | undefined
    // A value that is replaced during every attempt to read it is a miss.
    if (found !== undefined) expect(found.equals(Buffer.alloc(mebibyte, found[0]))).toBe(true)
  }
  await writes
})

test('returns bytes that look like a packed value unchanged', async () => {
  const store = storeWith({ chunks: true, compressionThreshold: 1_024 })
  for (const bytes of [[2], [2, 0], [2, 1, 120], [2, 2, 123], [2, 9]].map((each) =>
    Buffer.from(each),
  )) {
    await store.set('k', bytes)
    expect(await store.get('k')).toEqual(bytes)
    expect(await store.compareAndSet('k', bytes, 'next')).toBe(true)
  }
})

test.each(['null', '7', '{"id":"x","chunks":1e9}', '{"id":"x","chunks":-1}', '{"chunks":2}', '{'])(
  'treats an invalid manifest as a normal value: %s',
  async (text) => {
    const store = storeWith({ chunks: true })
    const bytes = Buffer.from(`\x02\x02${text}`)
    const Item = { key: { S: 'k' }, value: { B: bytes } }
    await admin(engine).send(new PutItemCommand({ TableName: 'cache', Item }))
    expect(toText((await store.get('k')) ?? '')).toBe(bytes.toString())
    expect(await new Cache(store).get('k')).toBeUndefined()
    await store.set('k', 'new')
    expect(String(await store.get('k'))).toBe('new')
  },
)

describe('with replicas that lag', () => {
  /** Eventually consistent reads do not find outdated keys, like a replica that has not received them yet. */
  function lag(isOutdated: (key: string) => boolean = () => true) {
    server.decide = async (name, body) => {
      const { ConsistentRead, RequestItems, Key } = body
      if (name === 'GetItem' && !ConsistentRead && isOutdated(Key.key.S)) return { body: {} }
      if (name !== 'BatchGetItem' || RequestItems.cache.ConsistentRead) return undefined
      const reply = await server.forward(name, body)
      const found = reply.Responses.cache.filter(({ key }: Body) => !isOutdated(key.S))
      return { body: { ...reply, Responses: { cache: found } } }
    }
  }

  test('compareAndSet compares with the current value', async () => {
    const options = { compressionThreshold: 64, chunks: true }
    const [writer, other] = [storeWith(options), storeWith(options)]
    const [first, second] = ['1'.repeat(500), randomBytes(mebibyte)]
    await writer.set('k', first)
    lag()
    expect(await other.compareAndSet('k', first, second)).toBe(true)
    expect(await writer.compareAndSet('k', second, undefined)).toBe(true)
    expect(await keysInTable()).toEqual([])
  })

  test.each(['set', 'setMany', 'delete', 'deleteMany'] as const)(
    '%s deletes the chunks that another process wrote',
    async (operation) => {
      const [writer, other] = [storeWith({ chunks: true }), storeWith({ chunks: true })]
      await writer.set('k', randomBytes(mebibyte))
      lag()
      if (operation === 'set') await other.set('k', 'small')
      if (operation === 'setMany') await other.setMany([['k', 'small']])
      if (operation === 'delete') expect(await other.delete('k')).toBe(true)
      if (operation === 'deleteMany') expect(await other.deleteMany(['k'])).toBe(1)
      expect(await keysInTable()).toEqual(operation.startsWith('set') ? ['k'] : [])
    },
  )

  test('get and getMany read a value again if its chunks are outdated', async () => {
    const [writer, reader] = [storeWith({ chunks: true }), storeWith({ chunks: true })]
    const value = randomBytes(mebibyte)
    await writer.set('k', value)
    lag((key) => key.includes('\0chunk:'))
    expectBytes(await reader.get('k'), value)
    const [found, missing] = await reader.getMany(['k', 'l'])
    expectBytes(found, value)
    expect(missing).toBeUndefined()
  })
})

test('keeps only the chunks of the last of several concurrent writes', async () => {
  const stores = [storeWith({ chunks: true }), storeWith({ chunks: true })]
  await Promise.all(stores.map((store) => store.set('k', randomBytes(mebibyte))))
  expect(await keysInTable()).toHaveLength(4)
  await Promise.all(stores.map((store) => store.set('k', randomBytes(mebibyte))))
  expect(await keysInTable()).toHaveLength(4)
})

test('does not delete its own chunks when the reply to a write is lost', async () => {
  const store = storeWith({
    chunks: true,
    client: () => new DynamoDBClient({ ...location, endpoint: server.url, maxAttempts: 1 }),
  })
  let lost = 0
  server.decide = (name) => (name === 'PutItem' && lost++ === 0 ? 'drop the reply' : undefined)
  const value = randomBytes(mebibyte)
  await store.set('k', value)
  expect(lost).toBe(2)
  expectBytes(await store.get('k', { consistency: 'strong' }), value)
})

test('ignores a failure to delete the replaced chunks', async () => {
  const store = storeWith({ chunks: true })
  await store.set('k', randomBytes(mebibyte))
  server.decide = (name, { RequestItems }) =>
    name === 'BatchWriteItem' && RequestItems.cache.some(({ DeleteRequest }: Body) => DeleteRequest)
      ? exception('AccessDeniedException')
      : undefined
  await store.set('k', 'small')
  expect(String(await store.get('k'))).toBe('small')
  expect(await keysInTable()).toHaveLength(4)
})

test('deletes chunks without reading them, which would cost by their size', async () => {
  const store = storeWith({ chunks: true })
  await store.set('k', randomBytes(mebibyte))
  server.requests.length = 0
  expect(await store.delete('k')).toBe(true)
  expect(server.requests).toEqual(['DeleteItem', 'BatchWriteItem'])
})

test('touches a value that replaced another one during the call', async () => {
  const store = storeWith({ chunks: true })
  const other = storeWith({ chunks: true })
  await store.set('k', randomBytes(mebibyte), 60_000)
  let replaced = false
  server.decide = async (name) => {
    if (name !== 'UpdateItem' || replaced) return undefined
    replaced = true
    await other.set('k', randomBytes(mebibyte), 60_000)
    return undefined
  }
  expect(await store.touch('k', 600_000)).toBe(true)
  expect(replaced).toBe(true)
})

test('rejects new calls while the store closes', async () => {
  const store = storeWith({ chunks: true })
  const inFlight = store.set('k', randomBytes(mebibyte))
  const closed = store.close()
  const closedError = { code: 'ERR_CACHE_CLOSED' }
  for (const call of [() => store.increment('n', 1), () => store.ping(), () => store.clear()]) {
    await expect((async () => call())()).rejects.toMatchObject(closedError)
  }
  await inFlight
  await closed
})
