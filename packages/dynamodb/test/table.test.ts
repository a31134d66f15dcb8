import { execFileSync } from 'node:child_process'
import {
  CreateTableCommand,
  DescribeTableCommand,
  DescribeTimeToLiveCommand,
  UpdateTimeToLiveCommand,
} from '@aws-sdk/client-dynamodb'
import {
  awsCli,
  cloudFormation,
  dynamodb,
  ensureTable,
  type TableMode,
  terraform,
} from '@stowage/dynamodb'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { admin, createTable, type Engine, engines, useCredentials } from './engines.ts'
import { type FaultServer, refusal, startFaultServer } from './fault-server.ts'

let engine: Engine
let server: FaultServer
const attributes = { key: 'id', value: 'payload', ttl: 'ttl' }

beforeAll(async () => {
  useCredentials()
  engine = await engines['DynamoDB Local']()
  server = await startFaultServer(engine.url)
})

afterEach(() => {
  server.decide = () => undefined
})

afterAll(async () => {
  await server.stop()
  await engine.stop()
})

const at = (table: string) => ({
  table,
  endpoint: server.url,
  region: 'eu-central-1',
  timeout: '30s' as const,
  requestTimeout: '20s' as const,
})

async function described(table: string) {
  const client = admin(engine)
  const { Table } = await client.send(new DescribeTableCommand({ TableName: table }))
  const { TimeToLiveDescription } = await client.send(
    new DescribeTimeToLiveCommand({ TableName: table }),
  )
  client.destroy()
  return { ...Table, ttl: TimeToLiveDescription }
}

describe('ensureTable', () => {
  test('creates the table with its TTL, and leaves one alone that is as it should be', async () => {
    await ensureTable({ ...at('made'), attributes })
    expect(await described('made')).toMatchObject({
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      BillingModeSummary: { BillingMode: 'PAY_PER_REQUEST' },
      ttl: { AttributeName: 'ttl', TimeToLiveStatus: 'ENABLED' },
    })
    server.requests.length = 0
    await ensureTable({ ...at('made'), attributes })
    await ensureTable({ ...at('made'), attributes }, 'verify')
    expect(new Set(server.requests)).toEqual(new Set(['DescribeTable', 'DescribeTimeToLive']))
  })

  test('switches the TTL on where only that is missing', async () => {
    await createTable(engine, 'without-ttl')
    await ensureTable(at('without-ttl'))
    expect((await described('without-ttl')).ttl).toMatchObject({ AttributeName: 'expires_at' })
  })

  test('several at once get along', async () => {
    await Promise.all(Array.from({ length: 8 }, () => ensureTable(at('raced'))))
    expect((await described('raced')).ttl?.TimeToLiveStatus).toBe('ENABLED')
  })

  test('takes the TTL another process has just switched on, whatever the server says of it', async () => {
    await createTable(engine, 'ttl-raced')
    const late = 'Time to live has been modified multiple times within a fixed interval'
    server.decide = async (name, body) => {
      if (name !== 'UpdateTimeToLive') return undefined
      await server.pass(name, body)
      return refusal('ValidationException', late)
    }
    await ensureTable(at('ttl-raced'))
    await createTable(engine, 'ttl-refused')
    server.decide = (name) =>
      name === 'UpdateTimeToLive' ? refusal('ValidationException', late) : undefined
    await expect(ensureTable(at('ttl-refused'))).rejects.toThrow(late)
  })

  test('waits until a new table can be used', async () => {
    let looks = 0
    server.decide = async (name, body) => {
      if (name !== 'DescribeTable' || ++looks > 3) return undefined
      const answer = await server.pass(name, body)
      if (answer.Table === undefined) return undefined
      return { body: { Table: { ...answer.Table, TableStatus: 'CREATING' } } }
    }
    await ensureTable(at('slow'))
    expect(looks).toBeGreaterThan(3)
  })

  test('verify says what is wrong, and by which commands it is made', async () => {
    await createTable(engine, 'unverified')
    await expect(ensureTable(at('absent'), 'verify')).rejects.toMatchObject({
      code: 'ERR_CACHE_CONFIG',
      message: expect.stringMatching(
        /"absent" does not exist.*aws dynamodb create-table --table-name absent/s,
      ),
    })
    await expect(ensureTable(at('unverified'), 'verify')).rejects.toMatchObject({
      code: 'ERR_CACHE_CONFIG',
      message: expect.stringMatching(/has no TTL.*aws dynamodb update-time-to-live/s),
    })
  })

  test('another TTL attribute or another key is reported, and never changed', async () => {
    await createTable(engine, 'other-ttl')
    const specification = { AttributeName: 'until', Enabled: true }
    const client = admin(engine)
    await client.send(
      new UpdateTimeToLiveCommand({
        TableName: 'other-ttl',
        TimeToLiveSpecification: specification,
      }),
    )
    await client.send(
      new CreateTableCommand({
        TableName: 'sorted',
        BillingMode: 'PAY_PER_REQUEST',
        KeySchema: [
          { AttributeName: 'key', KeyType: 'HASH' },
          { AttributeName: 'at', KeyType: 'RANGE' },
        ],
        AttributeDefinitions: [
          { AttributeName: 'key', AttributeType: 'S' },
          { AttributeName: 'at', AttributeType: 'N' },
        ],
      }),
    )
    await expect(ensureTable(at('other-ttl'))).rejects.toThrow(/"until" instead of "expires_at"/)
    await expect(ensureTable(at('sorted'))).rejects.toThrow(
      /key key \(S\), at \(N\) instead of key/,
    )
  })

  test.each(['DescribeTable', 'CreateTable', 'DescribeTimeToLive', 'UpdateTimeToLive'])(
    'names the permission that is missing: %s',
    async (action) => {
      const message = `User: arn:… is not authorized to perform: dynamodb:${action} on resource: arn:…`
      server.decide = (name) =>
        name === action ? refusal('AccessDeniedException', message) : undefined
      await expect(ensureTable(at(`denied-${action}`))).rejects.toMatchObject({
        code: 'ERR_CACHE_REJECTED',
        message: expect.stringContaining(`Allow dynamodb:${action} in the IAM policy`),
      })
    },
  )

  test('asks nothing of an engine without TTL', async () => {
    const light = await engines.dynalite()
    await ensureTable({ ...at('light'), endpoint: light.url })
    await light.stop()
  })
})

describe('a store that sees to its table', () => {
  const storeFor = (table: string, mode: TableMode) => dynamodb({ ...at(table), ensureTable: mode })

  test('does so once, with the first command', async () => {
    const store = storeFor('by-store', 'create')
    server.requests.length = 0
    await Promise.all(['a', 'b', 'c'].map((key) => store.add(key, 'v')))
    await store.set('d', 'v')
    expect(server.requests.filter((name) => name === 'CreateTable')).toHaveLength(1)
    expect(String(await store.get('a'))).toBe('v')
    await store.close()
  })

  test('tries again when it has failed', async () => {
    const store = storeFor('later', 'verify')
    await expect(store.get('a')).rejects.toMatchObject({ code: 'ERR_CACHE_CONFIG' })
    await ensureTable(at('later'))
    expect(await store.get('a')).toBeUndefined()
    await store.close()
  })
})

describe('the definitions', () => {
  test('name table, key and TTL', () => {
    for (const print of [awsCli, cloudFormation, terraform]) {
      const text = print({ table: 'app.cache', attributes })
      expect(text).toContain('app.cache')
      expect(text).toMatch(/\bid\b/)
      expect(text).toMatch(/\bttl\b/)
      expect(text).toContain('PAY_PER_REQUEST')
    }
    expect(terraform({ table: 'app.cache' })).toContain('"aws_dynamodb_table" "app_cache"')
  })

  test('the commands are understood by a shell', () => {
    const script = `aws() { printf '%s|' "$@"; echo; }\n${awsCli({ table: 'cache' })}`
    const calls = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trim().split('\n')
    expect(calls).toHaveLength(3)
    expect(calls[0]).toContain('|--key-schema|AttributeName=key,KeyType=HASH|')
    expect(calls[2]).toContain('Enabled=true,AttributeName=expires_at')
  })
})
