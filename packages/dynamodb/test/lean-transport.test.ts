import { createHash, createHmac, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { DynamoDBClient, type GetItemCommand } from '@aws-sdk/client-dynamodb'
import { SignatureV4 } from '@smithy/signature-v4'
import { dynamodb } from '@stowage/dynamodb'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { RequestSigner } from '../src/transport/request-signer.ts'
import {
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
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  useCredentials()
  engine = await engines.dynalite()
  await createTable(engine, 'cache')
  server = await startFaultServer(engine.url)
})

afterEach(async () => {
  vi.unstubAllEnvs()
  server.decide = () => undefined
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  server.requests.length = 0
})

afterAll(async () => {
  await server.stop()
  await engine.stop()
})

function storeWith(options: Partial<Parameters<typeof dynamodb>[0]> = {}) {
  const place = { table: 'cache', endpoint: server.url, region } as const
  // A busy machine takes seconds for a request, which would be sent again.
  const longTimeouts = { timeout: '30s', requestTimeout: '20s' } as const
  const store = dynamodb({ ...place, ...longTimeouts, batching: false, ...options })
  cleanups.push(() => store.close())
  return store
}

/** Expects an error that is reported at the deadline, after retries. On a busy machine, a request may be in flight then. */
async function expectReported(expected: object) {
  const store = storeWith({ timeout: '1s' })
  const call = async () => store.get('k')
  let error: { readonly code?: string }
  do
    error = await call().then(
      () => ({}),
      (reason) => reason,
    )
  while (error.code === 'ERR_CACHE_TIMEOUT')
  expect(error).toMatchObject(expected)
}

/** The SDK sends a header of its own, which requests of the store do not have. */
const isFromSdk = () => server.headers['amz-sdk-invocation-id'] !== undefined

describe('signatures', () => {
  class Sha256 {
    readonly #hash: ReturnType<typeof createHash>
    constructor(secret?: string | Uint8Array) {
      this.#hash = (
        secret === undefined ? createHash('sha256') : createHmac('sha256', secret as string)
      ) as ReturnType<typeof createHash>
    }
    update(data: string | Uint8Array) {
      this.#hash.update(data)
    }
    async digest() {
      return this.#hash.digest()
    }
    reset() {}
  }

  const pick = <T>(values: readonly T[]) => values[Math.floor(Math.random() * values.length)] as T
  const secrets = Array.from({ length: 4 }, (_, index) => ({
    accessKeyId: `AKIA${index}${randomBytes(6).toString('hex').toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString('base64'),
    ...(index % 2 === 1 && { sessionToken: randomBytes(300).toString('base64') }),
  }))

  test('are those of the SDK, whatever credentials, region, time and body', async () => {
    const signer = new RequestSigner()
    const start = Date.UTC(2026, 11, 31, 23, 59, 50)
    for (let request = 0; request < 1_000; request++) {
      const identity = pick(secrets)
      const scope = { region: pick(['eu-central-1', 'us-east-1']), service: 'dynamodb' }
      const host = pick(['127.0.0.1:8000', `dynamodb.${scope.region}.amazonaws.com`])
      const target = `DynamoDB_20120810.${pick(['GetItem', 'BatchWriteItem'])}`
      const body = JSON.stringify({ value: pick(['', 'é🚢', randomBytes(60).toString('latin1')]) })
      const time = start + Math.floor(Math.random() * 40_000) - pick([0, 86_400_000, 400_000_000])
      const own = signer.sign(identity, { host, ...scope }, target, body, time)
      const sdk = new SignatureV4({
        credentials: identity,
        ...scope,
        sha256: Sha256 as never,
        applyChecksum: false,
      })
      const signed = await sdk.sign(
        {
          method: 'POST',
          protocol: 'https:',
          hostname: host,
          path: '/',
          query: {},
          headers: { host, 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': target },
          body,
        },
        { signingDate: new Date(time) },
      )
      expect(own).toEqual(signed.headers)
    }
  })
})

describe('requests', () => {
  test('have credentials, region and endpoint as the SDK resolves them', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', server.url)
    vi.stubEnv('AWS_REGION', 'eu-west-3')
    vi.stubEnv('AWS_SESSION_TOKEN', 'token')
    await storeWith({ endpoint: undefined, region: undefined }).get('k')
    expect(isFromSdk()).toBe(false)
    expect(server.headers).toMatchObject({
      authorization: expect.stringMatching(
        new RegExp(`Credential=${credentials.accessKeyId}/\\d{8}/eu-west-3/dynamodb/`),
      ),
      'x-amz-security-token': 'token',
      'user-agent': expect.stringContaining('aws-sdk-js'),
    })
  })

  test('use new credentials once the SDK has them', async () => {
    let calls = 0
    const provider = async () => ({
      accessKeyId: `key${++calls}`,
      secretAccessKey: 'secret',
      // The SDK refreshes credentials five minutes before they expire.
      expiration: new Date(Date.now() + 301_000),
    })
    const store = storeWith({ credentials: provider })
    await store.get('k')
    const first = /Credential=(\w+)/.exec(server.headers.authorization ?? '')?.[1]
    const now = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000)
    await store.get('k')
    now.mockRestore()
    const second = /Credential=(\w+)/.exec(server.headers.authorization ?? '')?.[1]
    expect(second).not.toBe(first)
  })

  test.each([[undefined], ['no vault'], [Object.freeze(new Error('no vault'))]])(
    'fail if the credentials cannot be renewed, whatever they reject with: %s',
    async (reason) => {
      let calls = 0
      const provider = async () => {
        if (++calls > 1) throw reason
        return { ...credentials, expiration: new Date(Date.now() + 301_000) }
      }
      const store = storeWith({ credentials: provider, timeout: '4s' })
      await store.get('k')
      const now = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000)
      const reading = Promise.resolve(store.get('k')).finally(() => now.mockRestore())
      await expect(reading).rejects.toMatchObject({
        code: 'ERR_CACHE_UNAVAILABLE',
        message: expect.stringMatching(/no vault|undefined/),
      })
    },
  )

  test('are signed with the time of the server if the clock of the machine is wrong', async () => {
    const ahead = 20 * 60_000
    const dates: string[] = []
    server.decide = () => {
      const date = String(server.headers['x-amz-date'])
      dates.push(date)
      const iso = date.replace(/(\d{4})(\d\d)(\d\dT\d\d)(\d\d)(\d\dZ)/, '$1-$2-$3:$4:$5')
      const serverTime = Date.now() + ahead
      const headers = { date: new Date(serverTime).toUTCString() }
      if (Math.abs(Date.parse(iso) - serverTime) < 300_000) return { body: {}, headers }
      const body = { __type: 'x#InvalidSignatureException', message: 'Signature expired: …' }
      return { status: 400, body, headers }
    }
    const store = storeWith()
    expect(await store.get('k')).toBeUndefined()
    await store.set('k', 'v')
    expect(dates).toHaveLength(3)
  })

  test('let items expire by the time of the server if the clock of the machine is wrong', async () => {
    const ahead = 10 * 60_000
    let expiresAt = 0
    server.decide = (name, { Item }) => {
      if (name === 'PutItem') expiresAt = Number(Item.expires_at.N)
      const headers = { date: new Date(Date.now() + ahead).toUTCString() }
      return { body: {}, headers }
    }
    const store = storeWith()
    await store.get('k')
    const earliest = Date.now() + ahead + 60_000
    await store.set('k', 'v', 60_000)
    const latest = Date.now() + ahead + 60_000
    // The header and the item have whole seconds.
    expect(expiresAt * 1_000).toBeGreaterThan(earliest - 2_000)
    expect(expiresAt * 1_000).toBeLessThan(latest + 2_000)
  })

  test('with a wrong checksum in the reply are repeated, or reported', async () => {
    const body = JSON.stringify({ Item: { key: { S: 'k' }, value: { S: 'v' } } })
    let wrong = 1
    server.decide = () => {
      const checksum = crc32(body) + (wrong-- > 0 ? 1 : 0)
      return { body, headers: { 'x-amz-crc32': `${checksum}` } }
    }
    expect(String(await storeWith().get('k'))).toBe('v')
    expect(server.requests).toHaveLength(2)
    wrong = Number.POSITIVE_INFINITY
    await expectReported({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining('checksum'),
    })
  })

  test.each([
    ['com.amazonaws.dynamodb.v20120810#AccessDeniedException', 'message'],
    ['AccessDeniedException', 'Message'],
    ['com.amazon.coral.service#AccessDeniedException:http://internal.amazon.com/', 'message'],
  ])('report an exception under the name of the SDK: %s', async (__type, member) => {
    server.decide = () => ({ status: 400, body: { __type, [member]: 'not allowed' } })
    const cause = { name: 'AccessDeniedException', message: 'not allowed' }
    await expect(storeWith().get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED', cause })
  })

  test('report an exception with the name of a member of all objects', async () => {
    server.decide = () => ({ status: 400, body: { __type: 'constructor' } })
    await expect(storeWith().get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
  })

  test.each([['<html>'], ['null'], ['[]'], ['']])(
    'report a reply that is not of DynamoDB as unavailable: %s',
    async (body) => {
      server.decide = () => ({ status: 503, body })
      const expected = { code: 'ERR_CACHE_UNAVAILABLE', message: expect.stringContaining('503') }
      await expectReported(expected)
    },
  )

  test.each([['<html>'], ['null'], ['[]'], ['"ok"']])(
    'are repeated after a successful reply that is not of DynamoDB: %s',
    async (body) => {
      const store = storeWith()
      for (const call of [() => store.set('k', 'v'), () => store.get('k')]) {
        server.requests.length = 0
        server.decide = () => (server.requests.length === 1 ? { status: 200, body } : undefined)
        await call()
        expect(server.requests).toHaveLength(2)
      }
    },
  )

  test('store and return any bytes and any text, alone and in batches', async () => {
    const store = storeWith()
    const values = [
      randomBytes(3_000),
      Buffer.from([0, 255, 10, 13]),
      '"B":"AAAA"',
      '\u2028 "quoted" \\ \u0000 é🚢',
      '',
      '42',
    ]
    const entries = values.map((value, index) => [`v ${index} é"\\`, value] as const)
    for (const [key, value] of entries) await store.set(key, value)
    for (const [key, value] of entries)
      expect(Buffer.from((await store.get(key)) ?? 'missing')).toEqual(Buffer.from(value))
    let first = true
    server.decide = (name, { RequestItems }) => {
      if (name !== 'BatchWriteItem' || !first) return undefined
      first = false
      return { body: { UnprocessedItems: RequestItems } }
    }
    await store.setMany(entries, 60_000)
    const found = await store.getMany(entries.map(([key]) => key))
    expect(found.map((each) => Buffer.from(each ?? 'missing'))).toEqual(values.map(Buffer.from))
  })
})

describe('the SDK sends the requests', () => {
  test('of a client of the application, through its middleware', async () => {
    const client = new DynamoDBClient({ endpoint: server.url, region, credentials })
    cleanups.push(() => client.destroy())
    const seen: string[] = []
    client.middlewareStack.add(
      (next, { commandName }) =>
        async (args) => {
          seen.push(String(commandName))
          return next(args)
        },
      { step: 'initialize', name: 'tracing' },
    )
    await storeWith({ client }).set('k', 'v')
    expect(seen).toEqual(['PutItemCommand'])
    expect(isFromSdk()).toBe(true)
  })

  test('of a stub', async () => {
    const inputs: unknown[] = []
    const send = async (command: GetItemCommand) => {
      inputs.push(command.input)
      return { Item: { key: { S: 'k' }, value: { S: 'stubbed' } } }
    }
    const store = storeWith({ client: { send } as never })
    expect(await store.get('k')).toBe('stubbed')
    expect(inputs).toHaveLength(1)
    expect(typeof (await store.time?.())).toBe('number')
  })

  test.each(['before', 'after'])(
    'when a tool has replaced `send` %s the first call',
    async (when) => {
      const prototype = Object.getPrototypeOf(DynamoDBClient.prototype)
      const { send } = prototype
      const seen: string[] = []
      const patch = () => {
        prototype.send = function wrapped(this: unknown, command: object, ...rest: unknown[]) {
          seen.push(command.constructor.name)
          return send.call(this, command, ...rest)
        }
      }
      cleanups.push(() => {
        prototype.send = send
      })
      const store = storeWith()
      if (when === 'after') await store.get('k')
      patch()
      await store.get('k')
      expect(seen).toEqual(['GetItemCommand'])
      expect(isFromSdk()).toBe(true)
    },
  )

  test('if the endpoint has a path, for example behind a proxy', async () => {
    const store = storeWith({ endpoint: `${server.url}/dynamodb` })
    await store.set('k', 'v')
    expect(String(await store.get('k'))).toBe('v')
    expect(isFromSdk()).toBe(true)
  })
})

test('errors name the host that the SDK has resolved', async () => {
  vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', server.url)
  server.decide = () => exception('AccessDeniedException')
  await expect(storeWith({ endpoint: undefined }).get('k')).rejects.toMatchObject({
    message: expect.stringContaining(`(127.0.0.1:${server.port})`),
  })
  const body: Body = { __type: 'x#InternalServerError', message: 'failed' }
  server.decide = () => ({ status: 500, body })
  await expectReported({ message: expect.stringContaining(`127.0.0.1:${server.port}`) })
})
