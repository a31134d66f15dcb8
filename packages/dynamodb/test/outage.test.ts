import { setTimeout as sleep } from 'node:timers/promises'
import { dynamodb } from '@stowage/dynamodb'
import { type DynamoDBServer, startDynamoDB } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { createTable, region, useCredentials } from './engines.ts'

describe('an endpoint that is frozen', () => {
  let engine: DynamoDBServer
  // DynamoDB Local takes up to a second for a batch on a machine with other work.
  const timeouts = { timeout: '4s', requestTimeout: '2s' } as const

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
    deadlineMs: 6_000,
  })
})
