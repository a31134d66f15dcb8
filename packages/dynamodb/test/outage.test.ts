import { setTimeout as sleep } from 'node:timers/promises'
import { dynamodb } from '@stowage/dynamodb'
import { type FaultProxy, startProxy } from '@stowage/test-servers'
import { conform } from '@stowage/testing'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { createTable, type Engine, engines, region, useCredentials } from './engines.ts'

/** Its first batches take seconds on a machine with other work. */
async function warmUp({ url }: Engine): Promise<void> {
  const timeouts = { timeout: '60s', requestTimeout: '60s' } as const
  const store = dynamodb({ table: 'cache', endpoint: url, region, ...timeouts })
  for (let round = 0; round < 3; round++) {
    await store.setMany(Array.from({ length: 100 }, (_, index) => [`warm:${index}`, 'up'] as const))
  }
  await store.close()
}

describe('an endpoint that is frozen', () => {
  let engine: Engine
  let proxy: FaultProxy
  // DynamoDB Local takes up to a second for a batch on a machine with other work.
  const timeouts = { timeout: '4s', requestTimeout: '2s' } as const

  beforeAll(async () => {
    useCredentials()
    engine = await engines['DynamoDB Local']()
    await createTable(engine, 'cache')
    await warmUp(engine)
    proxy = await startProxy(Number(new URL(engine.url).port))
  })
  afterAll(async () => {
    await proxy.stop()
    await engine.stop()
  })

  const create = () => {
    const endpoint = `http://127.0.0.1:${proxy.port}`
    return dynamodb({ table: 'cache', endpoint, region, ...timeouts })
  }
  conform(test, create, {
    wait: async (ms) => sleep(ms),
    groups: ['outage'],
    sharedBackend: true,
    breakBackend: () => proxy.mute(true),
    restoreBackend: () => proxy.mute(false),
    deadlineMs: 6_000,
  })
})
