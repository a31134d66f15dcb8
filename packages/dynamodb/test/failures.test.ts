import { inspect } from 'node:util'
import { CreateTableCommand, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { Cache } from '@stowage/core'
import { type DynamoDBOptions, dynamodb, ensureTable, requestChannel } from '@stowage/dynamodb'
import { freePort, Stalls, startProxy } from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { admin, createTable, type Engine, engines, useCredentials } from './engines.ts'
import { exception, type FaultServer, type Reply, startFaultServer } from './fault-server.ts'

let engine: Engine
let server: FaultServer
const cleanups: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  useCredentials()
  engine = await engines['DynamoDB Local']()
  server = await startFaultServer(engine.url)
  await createTable(engine, 'cache')
}, 120_000)

afterEach(async () => {
  server.decide = () => undefined
  vi.unstubAllEnvs()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

afterAll(async () => {
  await server.stop()
  await engine.stop()
})

const shortTimeouts = { timeout: '600ms', requestTimeout: '200ms' } as const

/** A store whose calls do not time out because the machine is slow. */
function storeWith(options: Partial<DynamoDBOptions> = {}) {
  const store = dynamodb({
    table: 'cache',
    region: 'eu-central-1',
    endpoint: server.url,
    timeout: '40s',
    requestTimeout: '20s',
    ...options,
  })
  cleanups.push(() => store.close())
  return store
}

/** Expects every operation to fail with the same error. Each has its own keys: calls of one key wait for each other. */
async function allFail(store: ReturnType<typeof dynamodb>, expected: object): Promise<void> {
  const calls = [
    () => store.get('get'),
    () => store.getMany(['get 1', 'get 2']),
    () => store.set('set', 'v', 1_000),
    () =>
      store.setMany([
        ['set 1', 'v'],
        ['set 2', 'v'],
      ]),
    () => store.add('add', 'v'),
    () => store.compareAndSet('replace', 'v', 'w'),
    () => store.compareAndSet('remove', 'v', undefined),
    () => store.increment('n', 1, 1_000),
    () => store.touch('touch'),
    () => store.delete('delete'),
    () => store.deleteMany(['delete 1', 'delete 2']),
    () => store.clear(),
    () => store.ping(),
  ]
  await Promise.all(calls.map((call) => expect(call(), `${call}`).rejects.toMatchObject(expected)))
}

test('reports an endpoint that is down as unavailable, long before the deadline', async () => {
  const endpoint = `http://127.0.0.1:${await freePort()}`
  const store = storeWith({ endpoint })
  const stalls = new Stalls()
  const message = expect.stringMatching(/ECONNREFUSED.*Cannot connect to 127.*DYNAMODB_ENDPOINT/)
  await allFail(store, { code: 'ERR_CACHE_UNAVAILABLE', retryable: true, message })
  // Up to 3,550 ms of random delays before the retries.
  expect(stalls.runningMs).toBeLessThan(15_000)
  stalls.stop()
  expect(await new Cache(store).remember('k', {}, () => 42)).toBe(42)
})

test('reports the inner error for a host with several addresses, and no password', async () => {
  const errors = [new Error('connect ECONNREFUSED ::1:8000'), new Error('connect ECONNREFUSED')]
  const error = Object.assign(new AggregateError(errors), { code: 'ECONNREFUSED' })
  const endpoint = 'http://user:hunter2@localhost:8000'
  const store = storeWith({ endpoint, client: { send: () => Promise.reject(error) } })
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringMatching(/^(?!.*hunter2).*ECONNREFUSED ::1:8000.* to localhost:8000:/),
  })
})

test('names AWS_REGION when the region does not exist', async () => {
  const error = Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' })
  const config = { region: async () => 'eu-west-9' }
  const client = { config, send: () => Promise.reject(error) } as never
  await expect(storeWith({ endpoint: undefined, client }).get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringMatching(/the region "eu-west-9" \(AWS_REGION\) exists/),
  })
})

test('ends every call by its deadline when the server is silent, and recovers', async () => {
  const wire = await startProxy(server.port)
  cleanups.push(() => wire.stop())
  const store = storeWith({ endpoint: `http://127.0.0.1:${wire.port}`, ...shortTimeouts })
  wire.mute(true)
  const outcomes = await Promise.allSettled([
    ...Array.from({ length: 200 }, (_, index) => store.add(`k${index}`, 'v')),
    store.increment('n', 1),
    store.getMany(['k', 'l']),
  ])
  const timedOut = /failed: .+ Check that 127\S+ is reachable.*requestTimeout/
  const codes = outcomes.map((outcome) => {
    if (outcome.status === 'fulfilled') return 'fulfilled'
    const { code, message } = outcome.reason
    expect(message).toMatch(code === 'ERR_CACHE_TIMEOUT' ? timedOut : /127\.0\.0\.1:/)
    return code
  })
  // On a busy machine, some requests begin after others have timed out, and are not sent.
  expect(codes).toContain('ERR_CACHE_TIMEOUT')
  expect(new Set([...codes, 'ERR_CACHE_UNAVAILABLE'])).toEqual(
    new Set(['ERR_CACHE_TIMEOUT', 'ERR_CACHE_UNAVAILABLE']),
  )
  // The proxy delivers the delayed requests now. The engine would need longer than a short timeout for them.
  server.decide = () => ({ body: { Item: { key: { S: 'k' }, value: { S: 'v' } } } })
  wire.mute(false)
  await vi.waitFor(async () => expect(String(await store.get('k'))).toBe('v'), 30_000)
})

test('applies the same deadline to an injected client', async () => {
  server.decide = () => new Promise<never>(() => {})
  const store = storeWith({ client: () => admin({ ...engine, url: server.url }), ...shortTimeouts })
  await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
})

test('ends every call by its deadline when the credentials never load', async () => {
  const hangs = () => new Promise<never>(() => {})
  const store = storeWith({ client: { send: hangs } as never, ...shortTimeouts })
  const stalls = new Stalls()
  // Requests that begin after the first ones have timed out are not sent.
  await allFail(store, { code: expect.stringMatching(/^ERR_CACHE_(TIMEOUT|UNAVAILABLE)$/) })
  expect(stalls.runningMs).toBeLessThan(1_500)
  stalls.stop()
})

test('omits the region from the message if the client cannot resolve it', async () => {
  const error = Object.assign(new Error('no'), { name: 'ResourceNotFoundException' })
  const send = () => Promise.reject(error)
  const regions = [() => new Promise<never>(() => {}), undefined, () => Promise.reject(error)]
  for (const region of regions) {
    const client = { config: { region }, send } as never
    await expect(storeWith({ region: undefined, client }).get('k')).rejects.toMatchObject({
      code: 'ERR_CACHE_CONFIG',
      message: expect.stringContaining('The table "cache" does not exist'),
    })
  }
})

test('names table, region and remedy when the table is missing', async () => {
  await allFail(storeWith({ table: 'nowhere' }), {
    code: 'ERR_CACHE_CONFIG',
    retryable: false,
    message: expect.stringMatching(/"nowhere" .*eu-central-1.*AWS_REGION.*ensureTable/),
  })
})

test('names the required key when the table has a different one', async () => {
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

/** What is retried until the deadline has a short one. */
const replies: Readonly<Record<string, readonly [Reply, object, DynamoDBOptions['timeout']?]>> = {
  'names the action of a missing permission': [
    exception(
      'AccessDeniedException',
      'User: arn:aws:iam::1:user/app is not authorized to perform: dynamodb:PutItem on resource: …',
    ),
    { code: 'ERR_CACHE_REJECTED', message: expect.stringContaining('Allow dynamodb:PutItem in') },
  ],
  'names the variables of invalid credentials': [
    exception(
      'UnrecognizedClientException',
      'The security token included in the request is invalid.',
    ),
    { code: 'ERR_CACHE_REJECTED', message: expect.stringContaining('AWS_ACCESS_KEY_ID') },
  ],
  'names the clock when a signature has expired': [
    exception(
      'InvalidSignatureException',
      'Signature expired: 20260101T000000Z is now earlier than',
    ),
    { code: 'ERR_CACHE_REJECTED', message: expect.stringContaining('clock') },
  ],
  'names the remedy for throttling': [
    exception('ProvisionedThroughputExceededException'),
    {
      code: 'ERR_CACHE_REJECTED',
      retryable: true,
      message: expect.stringContaining('on-demand billing'),
    },
    '3s',
  ],
  'reports an internal server error as unavailable': [
    exception('InternalServerError', 'failed', 500),
    { code: 'ERR_CACHE_UNAVAILABLE', retryable: true },
    '3s',
  ],
  'reports a server other than DynamoDB as unavailable': [
    { status: 502, body: { html: 'Bad gateway' } },
    { code: 'ERR_CACHE_UNAVAILABLE' },
    '3s',
  ],
}

test.each(Object.entries(replies))('%s', async (_, [reply, expected, timeout]) => {
  server.decide = () => reply
  if (timeout === undefined) return allFail(storeWith(), expected)
  const store = storeWith({ timeout })
  // On a busy machine, a request may be in flight at the deadline.
  await vi.waitFor(() => allFail(store, expected), 60_000)
})

test('keeps values, keys and signatures out of errors and events', async () => {
  server.decide = () => exception('AccessDeniedException')
  const store = storeWith()
  const error = await Promise.resolve(store.set('session-0f6d2c', 'hunter2')).catch((e) => e)
  const shown = inspect(error, { showHidden: true, depth: 20 })
  expect(shown).not.toMatch(/hunter2|Signature=|authorization/i)
  expect(error.message).not.toContain('session-0f6d2c')
  const events: unknown[] = []
  // Not those of earlier tests, whose calls had no reply.
  const listener = (event: unknown) => {
    if ((event as { table: string }).table === 'masked') events.push(event)
  }
  requestChannel.subscribe(listener)
  await Promise.resolve(storeWith({ table: 'masked' }).set('k', 'hunter2')).catch(() => {})
  requestChannel.unsubscribe(listener)
  expect(events).toHaveLength(1)
  expect(inspect(events, { showHidden: true, depth: 20 })).not.toMatch(/hunter2|Signature=/)
})

test('names the variables of missing credentials and of a missing region', async () => {
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

test('a check names missing permissions: a warning if items can be read', async () => {
  const check = async (actions: RegExp) => {
    server.decide = (name) =>
      actions.test(name)
        ? exception('AccessDeniedException', `not authorized to perform: dynamodb:${name}`)
        : undefined
    const { servers = [], findings = [] } = (await storeWith().diagnostics?.check()) ?? {}
    return [servers[0]?.isReachable, findings.map(({ code, severity }) => [code, severity])]
  }
  const permission = (severity: string) => ['dynamodb-permission', severity]
  expect(await check(/DescribeTimeToLive/)).toEqual([true, [permission('warning')]])
  expect(await check(/Describe/)).toEqual([true, [permission('warning')]])
  const ttl = ['dynamodb-ttl', 'error']
  expect(await check(/PutItem|DeleteItem/)).toEqual([true, [ttl, permission('error')]])
  expect(await check(/./)).toEqual([false, [permission('error')]])
})
