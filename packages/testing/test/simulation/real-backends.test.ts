import type { ByteStore } from '@stowage/core'
import { dynamodb } from '@stowage/dynamodb'
import { memcached } from '@stowage/memcached'
import { redis } from '@stowage/redis'
import { startDynamoDB, startMemcached, startRedis } from '@stowage/test-servers'
import { planOf, runOnStores, type Scenario, scenarios } from '@stowage/testing/simulation'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const seeds = 4
const processes = 3
const { facade, remember, batching } = scenarios

interface Server {
  readonly create: () => ByteStore
  readonly stop: () => Promise<unknown>
}

const servers = new Map<string, Server>()

beforeAll(async () => {
  const server = await startRedis()
  servers.set('Redis', { create: () => redis({ url: server.url }), stop: () => server.stop() })
  const cached = await startMemcached()
  const addresses = [cached.address]
  const create = () => memcached({ servers: addresses })
  servers.set('memcached', { create, stop: () => cached.stop() })
  const dynamo = await startDynamoDB()
  Object.assign(process.env, dynamo.env)
  const options = { table: 'simulated', endpoint: dynamo.url, ensureTable: 'create' } as const
  servers.set('DynamoDB', { create: () => dynamodb(options), stop: () => dynamo.stop() })
})

afterAll(async () => {
  for (const server of servers.values()) await server.stop()
})

// The judges must accept what real servers do, or else they would find defects where there are none.
describe.each([
  ['Redis', [facade, remember, batching] as Scenario[]],
  // Reads that are not strong, as those of batching, may be a second old where a prefix has generations.
  ['memcached', [facade, remember] as Scenario[]],
  ['DynamoDB', [facade, remember] as Scenario[]],
] as const)('%s', (name, chosen) => {
  test.each(chosen)('keeps the rules of the scenario $name', async (scenario) => {
    const { create } = servers.get(name) as Server
    const stores = Array.from({ length: processes }, create)
    for (let seed = 0; seed < seeds; seed++) {
      const plan = planOf(scenario, seed, { processes, maxCalls: 120, minCalls: 120 })
      const problem = await runOnStores(scenario, plan, stores, `${scenario.name}${seed}:`)
      expect(problem, `seed ${seed}`).toBeUndefined()
    }
    await Promise.all(stores.map((store) => store.close()))
  })
})
