import { setTimeout as sleep } from 'node:timers/promises'
import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { dynamodb } from '@stowage/dynamodb'
import { type DynamoDBServer, startDynamoDB } from '@stowage/test-servers'
import { conform, ManualClock } from '@stowage/testing'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { admin, createTable, type Engine, engines, region, useCredentials } from './engines.ts'

// These engines need seconds for a thousand concurrent requests.
const longTimeouts = { timeout: '30s', requestTimeout: '30s' } as const

/** Every optional feature, combined. */
const allOptions = {
  scan: true,
  chunks: true,
  compressionThreshold: 1_024,
  maxValueBytes: 1_048_576,
}
const variants = [
  ['DynamoDB Local', {}],
  ['dynalite', {}],
  ['DynamoDB Local', allOptions],
] as const

/** Requests are sent by the store itself, or by the client of the application. */
const transports = ['lean', 'sdk'] as const
const cases = variants.flatMap((variant) =>
  transports.map((transport) => [...variant, transport] as const),
)

describe.each(cases)('%s, %o, %s', (name, options, transport) => {
  let engine: Engine
  let client: DynamoDBClient
  const clock = new ManualClock()

  beforeAll(async () => {
    useCredentials()
    engine = await engines[name]()
    // Shared by all stores, so that its connections and middleware are set up once.
    client = admin(engine)
    await createTable(engine, 'cache')
  })
  afterAll(async () => {
    client.destroy()
    await engine.stop()
  })

  // The table has no TTL, so that only the driver hides expired items.
  const create = () => {
    const place = transport === 'lean' ? { endpoint: engine.url, region } : { client: () => client }
    return dynamodb({ table: 'cache', clock, ...place, ...longTimeouts, ...options })
  }
  conform(test, create, { wait: (ms) => clock.advance(ms), exact: true, sharedBackend: true })
})

describe('an endpoint that is frozen', () => {
  let engine: DynamoDBServer
  // DynamoDB Local takes up to a second for a batch on a machine with other work.
  const timeouts = { timeout: '3s', requestTimeout: '1s' } as const

  beforeAll(async () => {
    useCredentials()
    engine = await startDynamoDB()
    await createTable(engine, 'cache')
  })
  afterAll(() => engine.stop())

  const create = () => dynamodb({ table: 'cache', endpoint: engine.url, region, ...timeouts })
  conform(test, create, {
    wait: async (ms) => sleep(ms),
    groups: ['outage'],
    sharedBackend: true,
    breakBackend: () => engine.kill('SIGSTOP'),
    restoreBackend: () => engine.kill('SIGCONT'),
    deadlineMs: 4_500,
  })
})
