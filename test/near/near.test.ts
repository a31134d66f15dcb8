import { setTimeout as sleep } from 'node:timers/promises'
import { ensureTable } from '@stowage/dynamodb'
import { startDynamoDB, startMemcached } from '@stowage/test-servers'
import { test } from 'vitest'
import type { Call } from './judge.ts'
import { expectFreshReads, redisBehindProxy } from './near-processes.ts'

// The processes delay, repeat and reorder messages themselves.
const fixture = redisBehindProxy()

test.each(['tracking', 'pubsub', 'none'] as const)(
  'Redis, bus %s: no read is older than the bound, whatever happens to the bus',
  async (bus) => {
    const options = { url: fixture.redis.url }
    await expectFreshReads({ driver: 'redis', options, bus, busUrl: fixture.proxy.url }, disturbBus)
  },
)

test.each(['pubsub', 'none'] as const)('memcached with the bus %s', async (bus) => {
  const nodes = await Promise.all([startMemcached(), startMemcached()])
  fixture.stops.push(...nodes.map((node) => () => node.stop()))
  const options = { servers: nodes.map(({ address }) => address) }
  await expectFreshReads(
    { driver: 'memcached', options, bus, busUrl: fixture.proxy.url },
    disturbBus,
  )
})

test.each(['pubsub', 'none'] as const)('DynamoDB with the bus %s', async (bus) => {
  const { url, env, stop } = await startDynamoDB()
  fixture.stops.push(stop)
  Object.assign(process.env, env)
  const table = `near-${bus}`
  // It executes one request after the other, and starts slowly.
  const timeouts = { timeout: '20s', requestTimeout: '20s' } as const
  const options = { table, endpoint: url, region: env.AWS_REGION, ...timeouts }
  await ensureTable(options)
  const setup = { driver: 'dynamodb', options, bus, busUrl: fixture.proxy.url }
  await expectFreshReads({ ...setup, env: { ...env } }, disturbBus)
})

/** Lets the bus be slow, lose messages, be cut off, silent, and unreachable for a while. */
async function disturbBus(): Promise<readonly Call[]> {
  const { proxy } = fixture
  await sleep(500)
  proxy.delay(30)
  await sleep(500)
  proxy.delay(0)
  for (let i = 0; i < 3; i++) {
    proxy.cut()
    await sleep(200)
    // A message is lost with its connection.
    await Promise.race([proxy.cutReplies(), sleep(200)])
  }
  proxy.mute(true)
  await sleep(700)
  proxy.mute(false)
  proxy.refuse(true)
  proxy.cut()
  await sleep(700)
  proxy.refuse(false)
  await sleep(1_500)
  return []
}
