import { execFileSync } from 'node:child_process'
import {
  CreateTableCommand,
  DeleteTableCommand,
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
import { exception, type FaultServer, startFaultServer } from './fault-server.ts'

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

const optionsFor = (table: string) => ({
  table,
  endpoint: server.url,
  region: 'eu-central-1',
  timeout: '30s' as const,
  requestTimeout: '20s' as const,
})

async function describeTable(table: string) {
  const client = admin(engine)
  const { Table } = await client.send(new DescribeTableCommand({ TableName: table }))
  const { TimeToLiveDescription } = await client.send(
    new DescribeTimeToLiveCommand({ TableName: table }),
  )
  client.destroy()
  return { ...Table, ttl: TimeToLiveDescription }
}

describe('ensureTable', () => {
  test('creates the table with its TTL, and does not change a valid one', async () => {
    await ensureTable({ ...optionsFor('made'), attributes })
    expect(await describeTable('made')).toMatchObject({
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      BillingModeSummary: { BillingMode: 'PAY_PER_REQUEST' },
      ttl: { AttributeName: 'ttl', TimeToLiveStatus: 'ENABLED' },
    })
    server.requests.length = 0
    await ensureTable({ ...optionsFor('made'), attributes })
    await ensureTable({ ...optionsFor('made'), attributes }, 'verify')
    expect(new Set(server.requests)).toEqual(new Set(['DescribeTable', 'DescribeTimeToLive']))
  })

  test('enables the TTL of an existing table', async () => {
    await createTable(engine, 'without-ttl')
    await ensureTable(optionsFor('without-ttl'))
    expect((await describeTable('without-ttl')).ttl).toMatchObject({ AttributeName: 'expires_at' })
  })

  test('can run concurrently', async () => {
    await Promise.all(Array.from({ length: 8 }, () => ensureTable(optionsFor('raced'))))
    expect((await describeTable('raced')).ttl?.TimeToLiveStatus).toBe('ENABLED')
  })

  test('accepts the TTL that another process has just enabled', async () => {
    await createTable(engine, 'ttl-raced')
    const tooManyChanges = 'Time to live has been modified multiple times within a fixed interval'
    server.decide = async (name, body) => {
      if (name !== 'UpdateTimeToLive') return undefined
      await server.forward(name, body)
      return exception('ValidationException', tooManyChanges)
    }
    await ensureTable(optionsFor('ttl-raced'))
    await createTable(engine, 'ttl-refused')
    server.decide = (name) =>
      name === 'UpdateTimeToLive' ? exception('ValidationException', tooManyChanges) : undefined
    await expect(ensureTable(optionsFor('ttl-refused'))).rejects.toThrow(tooManyChanges)
  })

  test('waits until a new table is active', async () => {
    let describes = 0
    server.decide = async (name, body) => {
      if (name !== 'DescribeTable' || ++describes > 3) return undefined
      const reply = await server.forward(name, body)
      if (reply.Table === undefined) return undefined
      return { body: { Table: { ...reply.Table, TableStatus: 'CREATING' } } }
    }
    await ensureTable(optionsFor('slow'))
    expect(describes).toBeGreaterThan(3)
  })

  test('creates a table that is being deleted once it is gone', async () => {
    let describes = 0
    server.decide = (name) => {
      if (name === 'DescribeTable' && ++describes <= 2)
        return { body: { Table: { TableStatus: 'DELETING' } } }
      return undefined
    }
    await ensureTable(optionsFor('deleted'))
    expect((await describeTable('deleted')).ttl?.TimeToLiveStatus).toBe('ENABLED')
  })

  test('reports what is wrong, and the commands that create a valid table', async () => {
    await createTable(engine, 'unverified')
    await expect(ensureTable(optionsFor('absent'), 'verify')).rejects.toMatchObject({
      code: 'ERR_CACHE_CONFIG',
      message: expect.stringMatching(
        /"absent" does not exist.*aws dynamodb create-table --table-name absent/s,
      ),
    })
    await expect(ensureTable(optionsFor('unverified'), 'verify')).rejects.toMatchObject({
      code: 'ERR_CACHE_CONFIG',
      message: expect.stringMatching(/has no TTL.*aws dynamodb update-time-to-live/s),
    })
  })

  test('reports a different TTL attribute or key, and does not change it', async () => {
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
    await expect(ensureTable(optionsFor('other-ttl'))).rejects.toThrow(
      /"until" instead of "expires_at"/,
    )
    await expect(ensureTable(optionsFor('sorted'))).rejects.toThrow(
      /key key \(S\), at \(N\) instead of key/,
    )
  })

  test.each(['DescribeTable', 'CreateTable', 'DescribeTimeToLive', 'UpdateTimeToLive'])(
    'names the missing permission: %s',
    async (action) => {
      const message = `User: arn:… is not authorized to perform: dynamodb:${action} on resource: arn:…`
      server.decide = (name) =>
        name === action ? exception('AccessDeniedException', message) : undefined
      await expect(ensureTable(optionsFor(`denied-${action}`))).rejects.toMatchObject({
        code: 'ERR_CACHE_REJECTED',
        message: expect.stringContaining(`Allow dynamodb:${action} in the IAM policy`),
      })
    },
  )

  test('accepts an engine without TTL', async () => {
    const dynalite = await engines.dynalite()
    await ensureTable({ ...optionsFor('without-ttl-api'), endpoint: dynalite.url })
    await dynalite.stop()
  })
})

describe('a store with the option ensureTable', () => {
  const storeFor = (table: string, mode: TableMode) =>
    dynamodb({ ...optionsFor(table), ensureTable: mode })

  test('prepares the table once, with the first command', async () => {
    const store = storeFor('by-store', 'create')
    server.requests.length = 0
    await Promise.all(['a', 'b', 'c'].map((key) => store.add(key, 'v')))
    await store.set('d', 'v')
    expect(server.requests.filter((name) => name === 'CreateTable')).toHaveLength(1)
    expect(String(await store.get('a'))).toBe('v')
    await store.close()
  })

  test('creates a table again that was deleted, before the next command', async () => {
    const store = storeFor('dropped', 'create')
    await store.set('a', 'v')
    const client = admin(engine)
    await client.send(new DeleteTableCommand({ TableName: 'dropped' }))
    client.destroy()
    await expect(store.getMany(['a', 'b'])).rejects.toMatchObject({ code: 'ERR_CACHE_CONFIG' })
    await store.set('a', 'w')
    expect(String(await store.get('a'))).toBe('w')
    await store.close()
  })

  test('retries a failed preparation with the next command', async () => {
    const store = storeFor('later', 'verify')
    await expect(store.get('a')).rejects.toMatchObject({ code: 'ERR_CACHE_CONFIG' })
    await ensureTable(optionsFor('later'))
    expect(await store.get('a')).toBeUndefined()
    await store.close()
  })
})

describe('table definitions', () => {
  test('contain the table, the key and the TTL', () => {
    for (const print of [awsCli, cloudFormation, terraform]) {
      const text = print({ table: 'app.cache', attributes })
      expect(text).toContain('app.cache')
      expect(text).toMatch(/\bid\b/)
      expect(text).toMatch(/\bttl\b/)
      expect(text).toContain('PAY_PER_REQUEST')
    }
    expect(terraform({ table: 'app.cache' })).toContain('"aws_dynamodb_table" "app_cache"')
    expect(terraform({ table: '2026-cache' })).toContain('"aws_dynamodb_table" "_2026-cache"')
  })

  test('refuse what is not the name of a table', () => {
    for (const print of [awsCli, cloudFormation, terraform])
      for (const table of ['cache; reboot', 'a"b', 'a: b', 'ab'])
        expect(() => print({ table })).toThrow('table must be the name of a table')
  })

  test('are valid shell commands for the AWS CLI', () => {
    const script = `aws() { printf '%s|' "$@"; echo; }\n${awsCli({ table: 'cache' })}`
    const calls = execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trim().split('\n')
    expect(calls).toHaveLength(3)
    expect(calls[0]).toContain('|--key-schema|AttributeName=key,KeyType=HASH|')
    expect(calls[2]).toContain('Enabled=true,AttributeName=expires_at')
  })
})
