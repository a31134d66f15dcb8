import type { ByteStore } from '@stowage/core/driver'
import { dynamodb } from '@stowage/dynamodb'
import { memcached } from '@stowage/memcached'
import { redis } from '@stowage/redis'
import { scenarios } from '@stowage/scenarios'
import { startDynamoDB, startMemcached, startRedis } from '@stowage/test-servers'
import { planOf, runOnStores, type Scenario } from '@stowage/testing/simulation'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const processes = 3
/** No further run of a scenario begins after this time, in milliseconds. */
const budgetMs = 20_000
const maxSeeds = 4
const calls = 120
const {
  facade,
  remember,
  tags,
  changing,
  generations,
  locks,
  limits,
  failover,
  batching,
  memo,
  sessions,
} = scenarios
const groupedLoads = scenarios['grouped-loads']
const sessionToken = scenarios['session-token']
const all = ['Redis', 'memcached', 'DynamoDB']
const everywhere = [
  remember,
  groupedLoads,
  tags,
  changing,
  generations,
  locks,
  limits,
  failover,
  sessionToken,
  memo,
  sessions,
]
const chosen: readonly { readonly scenario: Scenario; readonly backends: readonly string[] }[] = [
  ...everywhere.map((scenario) => ({ scenario: scenario as Scenario, backends: all })),
  { scenario: facade as Scenario, backends: [...all, 'DynamoDB with scan'] },
  // Its reads may be a second old where a prefix has generations.
  { scenario: batching as Scenario, backends: ['Redis', 'DynamoDB with scan'] },
]

/** The test must not fail because the machine is slow. */
const patient = { timeout: 20_000, connectTimeout: 20_000 } as const

interface Server {
  readonly create: () => ByteStore
  readonly stop: () => Promise<unknown>
}

const servers = new Map<string, Server>()

beforeAll(async () => {
  const server = await startRedis()
  servers.set('Redis', {
    create: () => redis({ url: server.url, ...patient }),
    stop: () => server.stop(),
  })
  const cached = await startMemcached()
  const addresses = [cached.address]
  const create = () => memcached({ servers: addresses, ...patient })
  servers.set('memcached', { create, stop: () => cached.stop() })
  const dynamo = await startDynamoDB()
  Object.assign(process.env, dynamo.env)
  const place = { table: 'simulated', endpoint: dynamo.url, ensureTable: 'create' } as const
  const options = { ...place, timeout: 20_000, requestTimeout: 10_000 }
  servers.set('DynamoDB', { create: () => dynamodb(options), stop: () => dynamo.stop() })
  const listing = { ...options, scan: true, consistency: 'strong' } as const
  servers.set('DynamoDB with scan', { create: () => dynamodb(listing), stop: async () => {} })
})

afterAll(async () => {
  for (const server of servers.values()) await server.stop()
})

// The judges must accept what real servers do, or else they would find defects where there are none.
describe.each(chosen)('the scenario $scenario.name', ({ scenario, backends }) => {
  test.concurrent.each(backends)('finds nothing on %s', async (name) => {
    const { create } = servers.get(name) as Server
    const stores = Array.from({ length: processes }, create)
    const startedAt = performance.now()
    for (let seed = 0; seed < maxSeeds && performance.now() - startedAt < budgetMs; seed++) {
      const plan = planOf(scenario, seed, { processes, maxCalls: calls, minCalls: calls })
      const problem = await runOnStores(scenario, plan, stores, `${name} ${scenario.name}${seed}:`)
      expect(problem, `seed ${seed}`).toBeUndefined()
    }
    await Promise.all(stores.map((store) => store.close()))
  })
})
