import { ensureTable } from '@stowage/dynamodb'
import { ensureTable as ensurePostgresTable } from '@stowage/postgres'
import { sharedDynamoDB, sharedPostgres, startMemcached, startProxy } from '@stowage/test-servers'
import { test } from 'vitest'
import { disturbBus, expectFreshReads, redisBehindProxy } from './near-processes.ts'

// The processes delay, repeat and reorder messages themselves.
const fixture = redisBehindProxy()

test.each(['pubsub', 'none'] as const)('memcached with the bus %s', async (bus) => {
  const nodes = await Promise.all([startMemcached(), startMemcached()])
  fixture.stops.push(...nodes.map((node) => () => node.stop()))
  const options = { servers: nodes.map(({ address }) => address) }
  await expectFreshReads({ driver: 'memcached', options, bus, busUrl: fixture.proxy.url }, () =>
    disturbBus(fixture.proxy),
  )
})

test.each(['postgres', 'none'] as const)('PostgreSQL with the bus %s', async (bus) => {
  const { url, stop } = await sharedPostgres()
  const { host, port } = new URL(url)
  const proxy = await startProxy(Number(port))
  fixture.stops.push(() => proxy.stop(), stop)
  await ensurePostgresTable({ url })
  const busUrl = url.replace(host, `127.0.0.1:${proxy.port}`)
  const setup = { driver: 'postgres', options: { url, timeout: '20s' }, bus, busUrl }
  await expectFreshReads(setup, () => disturbBus(proxy))
})

test.each(['pubsub', 'none'] as const)('DynamoDB with the bus %s', async (bus) => {
  const { url, env, stop } = await sharedDynamoDB()
  fixture.stops.push(stop)
  Object.assign(process.env, env)
  const table = `near-${bus}`
  // It executes one request after the other, and starts slowly.
  const timeouts = { timeout: '20s', requestTimeout: '20s' } as const
  const options = { table, endpoint: url, region: env.AWS_REGION, ...timeouts }
  await ensureTable(options)
  const setup = { driver: 'dynamodb', options, bus, busUrl: fixture.proxy.url }
  await expectFreshReads({ ...setup, env: { ...env } }, () => disturbBus(fixture.proxy))
})
