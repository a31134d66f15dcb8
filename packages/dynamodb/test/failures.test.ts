import { inspect } from 'node:util'
import { CreateTableCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { Cache } from '@stowage/core'
import { type DynamoDBOptions, dynamodb, ensureTable, requestChannel } from '@stowage/dynamodb'
import { freePort, startProxy } from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { admin, createTable, type Engine, engines, useCredentials } from './engines.ts'
import { type FaultServer, type Reply, refusal, startFaultServer } from './fault-server.ts'

let engine: Engine
let server: FaultServer
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  useCredentials()
  engine = await engines['DynamoDB Local']()
  server = await startFaultServer(engine.url)
  await createTable(engine, 'cache')
})

afterEach(async () => {
  server.decide = () => undefined
  vi.unstubAllEnvs()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

afterAll(async () => {
  await server.stop()
  await engine.stop()
})

const hasty = { timeout: '600ms', requestTimeout: '200ms' } as const

function storeWith(options: Partial<DynamoDBOptions> = {}) {
  const store = dynamodb({
    table: 'cache',
    region: 'eu-central-1',
    endpoint: server.url,
    timeout: '3s',
    requestTimeout: '2s',
    ...options,
  })
  cleanups.push(() => store.close())
  return store
}

/** Every kind of call, each of which has to fail as expected. */
async function allFail(store: ReturnType<typeof dynamodb>, expected: object): Promise<void> {
  const calls = [
    () => store.get('k'),
    () => store.getMany(['k', 'l']),
    () => store.set('k', 'v', 1_000),
    () =>
      store.setMany([
        ['k', 'v'],
        ['l', 'v'],
      ]),
    () => store.add('k', 'v'),
    () => store.compareAndSet('k', 'v', 'w'),
    () => store.compareAndSet('k', 'v', undefined),
    () => store.increment('n', 1, 1_000),
    () => store.touch('k'),
    () => store.delete('k'),
    () => store.deleteMany(['k', 'l']),
    () => store.clear(),
    () => store.ping(),
  ]
  await Promise.all(calls.map((call) => expect(call(), `${call}`).rejects.toMatchObject(expected)))
}

test('an endpoint that is down: unavailable, long before the deadline', async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`
  const store = storeWith({ endpoint, timeout: '30s' })
  const start = performance.now()
  const message = expect.stringMatching(/ECONNREFUSED.*Nothing answers at 127.*DYNAMODB_ENDPOINT/)
  await allFail(store, { code: 'ERR_CACHE_UNAVAILABLE', retryable: true, message })
  expect(performance.now() - start).toBeLessThan(30_000)
  expect(await new Cache(store).remember('k', {}, () => 42)).toBe(42)
})

test('a host of several addresses that is down: says what Node says of each of them', async () => {
  const errors = [new Error('connect ECONNREFUSED ::1:8000'), new Error('connect ECONNREFUSED')]
  const error = Object.assign(new AggregateError(errors), { code: 'ECONNREFUSED' })
  const endpoint = 'http://user:hunter2@localhost:8000'
  const store = storeWith({ endpoint, client: { send: () => Promise.reject(error) } })
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringMatching(/^(?!.*hunter2).*ECONNREFUSED ::1:8000.* at localhost:8000\./),
  })
})

test('a region that does not exist: says which variable to look at', async () => {
  const error = Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' })
  const config = { region: async () => 'eu-west-9' }
  const client = { config, send: () => Promise.reject(error) } as never
  await expect(storeWith({ endpoint: undefined, client }).get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringMatching(/AWS_REGION: is "eu-west-9" a region/),
  })
})

test('a black hole: every call ends by its deadline, and nothing after it has gone', async () => {
  const wire = await startProxy(server.port)
  cleanups.push(() => wire.stop())
  const store = storeWith({ endpoint: `http://127.0.0.1:${wire.port}`, ...hasty })
  await store.set('k', 'v')
  wire.mute(true)
  const outcomes = await Promise.allSettled([
    ...Array.from({ length: 200 }, (_, index) => store.add(`k${index}`, 'v')),
    store.increment('n', 1),
    store.getMany(['k', 'l']),
  ])
  for (const outcome of outcomes) {
    const message = expect.stringMatching(/failed: .+ Does 127\S+ answer.*requestTimeout/)
    expect(outcome).toMatchObject({
      status: 'rejected',
      reason: { code: 'ERR_CACHE_TIMEOUT', message },
    })
  }
  wire.mute(false)
  // What was held is delivered now, and keeps the engine busy for a while.
  await vi.waitFor(async () => expect(String(await store.get('k'))).toBe('v'), 30_000)
})

test('a client of the caller’s gets the same deadline', async () => {
  server.decide = () => new Promise<never>(() => {})
  const store = storeWith({ client: () => admin({ ...engine, url: server.url }), ...hasty })
  await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
})

test('credentials that never arrive cost no more than the deadline', async () => {
  const hangs = () => new Promise<never>(() => {})
  const store = storeWith({ client: { send: hangs } as never, ...hasty })
  await allFail(store, { code: 'ERR_CACHE_TIMEOUT' })
}, 30_000)

test('a client that cannot tell its region costs nothing but that', async () => {
  const error = Object.assign(new Error('no'), { name: 'ResourceNotFoundException' })
  const send = () => Promise.reject(error)
  const regions = [() => new Promise<never>(() => {}), undefined, () => Promise.reject(error)]
  for (const region of regions) {
    const client = { config: { region }, send } as never
    await expect(storeWith({ region: undefined, client }).get('k')).rejects.toMatchObject({
      code: 'ERR_CACHE_CONFIG',
      message: expect.stringContaining('There is no table'),
    })
  }
})

test('a missing table, as in the wrong region: names the place and the remedy', async () => {
  await allFail(storeWith({ table: 'nowhere' }), {
    code: 'ERR_CACHE_CONFIG',
    retryable: false,
    message: expect.stringMatching(/"nowhere" .*eu-central-1.*AWS_REGION.*ensureTable/),
  })
})

test('a table with another key: says what key it must be', async () => {
  const client = admin(engine)
  await client.send(
    new CreateTableCommand({
      TableName: 'other',
      BillingMode: 'PAY_PER_REQUEST',
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
    }),
  )
  await client.send(new PutItemCommand({ TableName: 'other', Item: { id: { S: 'k' } } }))
  client.destroy()
  const expected = { code: 'ERR_CACHE_CONFIG', message: expect.stringContaining('attributes.key') }
  const store = storeWith({ table: 'other' })
  await expect(store.get('k')).rejects.toMatchObject(expected)
  await expect(store.set('k', 'v')).rejects.toMatchObject(expected)
  await expect(
    store.setMany([
      ['k', 'v'],
      ['l', 'v'],
    ]),
  ).rejects.toMatchObject(expected)
  await expect(
    ensureTable({ table: 'other', endpoint: server.url, region: 'eu-central-1' }),
  ).rejects.toMatchObject({
    code: 'ERR_CACHE_CONFIG',
    message: expect.stringMatching(/has the key id \(S\) instead of key \(S\)/),
  })
})

const answers: Readonly<Record<string, readonly [Reply, object]>> = {
  'a missing permission: names the action': [
    refusal(
      'AccessDeniedException',
      'User: arn:aws:iam::1:user/app is not authorized to perform: dynamodb:PutItem on resource: …',
    ),
    { code: 'ERR_CACHE_REJECTED', message: expect.stringContaining('Allow dynamodb:PutItem in') },
  ],
  'credentials nobody knows': [
    refusal(
      'UnrecognizedClientException',
      'The security token included in the request is invalid.',
    ),
    { code: 'ERR_CACHE_REJECTED', message: expect.stringContaining('AWS_ACCESS_KEY_ID') },
  ],
  'a signature of another time': [
    refusal('InvalidSignatureException', 'Signature expired: 20260101T000000Z is now earlier than'),
    { code: 'ERR_CACHE_REJECTED', message: expect.stringContaining('clock') },
  ],
  'throttling: says what to do': [
    refusal('ProvisionedThroughputExceededException'),
    {
      code: 'ERR_CACHE_REJECTED',
      retryable: true,
      message: expect.stringContaining('on-demand billing'),
    },
  ],
  'a server that fails': [
    refusal('InternalServerError', 'no', 500),
    { code: 'ERR_CACHE_UNAVAILABLE', retryable: true },
  ],
  'something else than DynamoDB': [
    { status: 502, body: { html: 'Bad gateway' } },
    { code: 'ERR_CACHE_UNAVAILABLE' },
  ],
}

test.each(Object.entries(answers))(
  '%s',
  async (_, [reply, expected]) => {
    server.decide = () => reply
    await allFail(storeWith(), expected)
  },
  60_000,
)

test('an error carries nothing of the request or the response', async () => {
  server.decide = () => refusal('AccessDeniedException')
  const store = storeWith()
  const error = await Promise.resolve(store.set('session-0f6d2c', 'hunter2')).catch((e) => e)
  const shown = inspect(error, { showHidden: true, depth: 20 })
  expect(shown).not.toMatch(/hunter2|Signature=|authorization/i)
  expect(error.message).not.toContain('session-0f6d2c')
  const events: unknown[] = []
  const listener = (event: unknown) => void events.push(event)
  requestChannel.subscribe(listener)
  await Promise.resolve(store.set('k', 'hunter2')).catch(() => {})
  requestChannel.unsubscribe(listener)
  expect(events).toHaveLength(1)
  expect(inspect(events, { showHidden: true, depth: 20 })).not.toMatch(/hunter2|Signature=/)
})

test('no credentials, or no region: names the variables', async () => {
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_REGION']) {
    vi.stubEnv(name, undefined)
  }
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
  vi.stubEnv('AWS_CONFIG_FILE', '/dev/null')
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/dev/null')
  await expect(storeWith().get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_CONFIG',
    message: expect.stringContaining('AWS_ACCESS_KEY_ID'),
  })
  await expect(storeWith({ region: undefined }).get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_CONFIG',
    message: expect.stringContaining('AWS_REGION'),
  })
})
