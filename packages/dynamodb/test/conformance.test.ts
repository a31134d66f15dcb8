import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { dynamodb } from '@stowage/dynamodb'
import { conform, ManualClock } from '@stowage/testing'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { admin, createTable, type Engine, engines } from './engines.ts'

// A thousand requests at once take such an engine seconds.
const patient = { timeout: '30s', requestTimeout: '30s' } as const

/** Everything that can be switched on, at once. */
const allOptions = { scan: true, chunks: true, compressFrom: 1_024, maxValueBytes: 1_048_576 }
const variants = [
  ['DynamoDB Local', {}],
  ['dynalite', {}],
  ['DynamoDB Local', allOptions],
] as const

describe.each(variants)('%s, %o', (name, options) => {
  let engine: Engine
  let client: DynamoDBClient
  const clock = new ManualClock()

  beforeAll(async () => {
    engine = await engines[name]()
    // One for all stores: what it sets up and connects to once serves every test.
    client = admin(engine)
    await createTable(engine, 'cache')
  })
  afterAll(async () => {
    client.destroy()
    await engine.stop()
  })

  // Of a table without TTL, so that nothing but the driver hides what has ended.
  const create = () =>
    dynamodb({ table: 'cache', client: () => client, clock, ...patient, ...options })
  conform(test, create, { wait: (ms) => clock.advance(ms), exact: true })
})
