import { type AppProcess, type Variables, Visitor } from '@stowage/example-shared/testing'
import {
  type DynamoDBDatabase,
  type MemcachedServer,
  type RedisServer,
  sharedDynamoDB,
  startMemcached,
  startRedis,
} from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { outcomeOf, startShop } from './shop.ts'

let redis: RedisServer
let dynamo: DynamoDBDatabase
let nodes: MemcachedServer[]

beforeAll(async () => {
  redis = await startRedis()
  dynamo = await sharedDynamoDB()
  nodes = await Promise.all([startMemcached(), startMemcached(), startMemcached()])
})

afterAll(async () => {
  await redis?.stop()
  await dynamo?.stop()
  await Promise.all(nodes?.map((node) => node.stop()) ?? [])
})

function start(drivers: Variables): AppProcess {
  return startShop({
    ...dynamo.env,
    REDIS_URL: redis.url,
    MEMCACHED_SERVERS: nodes.map(({ address }) => address).join(),
    DYNAMODB_ENSURE_TABLE: 'create',
    SESSION_SECRET: 'only-for-this-test',
    PRODUCTS_DELAY: '5',
    ...drivers,
  })
}

describe.each<Variables>([
  {
    CACHE_DRIVER: 'dynamodb',
    SESSION_DRIVER: 'dynamodb',
    CACHE_TABLE: 'cache',
    SESSION_TABLE: 'sessions',
  },
  { CACHE_DRIVER: 'memcached', SESSION_DRIVER: 'memcached' },
  { CACHE_DRIVER: 'memcached', SESSION_DRIVER: 'redis', CACHE_PREFIX: 'mixed:' },
  { CACHE_DRIVER: 'redis', SESSION_DRIVER: 'dynamodb', SESSION_TABLE: 'mixed' },
  { CACHE_DRIVER: 'dynamodb', SESSION_DRIVER: 'redis', CACHE_TABLE: 'mixed' },
])('with %o', (drivers) => {
  let app: AppProcess
  let visitor: Visitor

  beforeAll(async () => {
    app = start(drivers)
    visitor = new Visitor(await app.url())
  })

  afterAll(() => app?.stop())

  it('prints its drivers and is healthy', async () => {
    const line = `cache: ${drivers.CACHE_DRIVER}, session: ${drivers.SESSION_DRIVER}`
    // Printed after the URL, perhaps in another chunk of the output.
    await expect.poll(() => app.stdout).toContain(line)
    expect((await visitor.get('/health')).status).toBe(200)
  })

  it('caches the products', async () => {
    expect(outcomeOf(await visitor.get('/'))).toBe('miss')
    expect(outcomeOf(await visitor.get('/'))).toBe('hit')
  })

  it('keeps a session across requests and across a restart', async () => {
    await visitor.post('/sign-in', { name: 'Ada' })
    for (const visit of [1, 2, 3]) {
      const { text } = await visitor.get('/account')
      expect(text).toContain(`<strong data-visits>${visit}</strong>`)
    }
    expect(await app.stop()).toBe(0)
    app = start(drivers)
    visitor.moveTo(await app.url())
    expect((await visitor.get('/account')).text).toContain('<strong data-visits>4</strong>')
  })

  it('ends the session on signing out, and prints no errors', async () => {
    const { cookie } = visitor
    await visitor.post('/sign-out')
    expect(visitor.cookie).not.toBe(cookie)
    expect((await visitor.get('/account')).status).toBe(303)
    expect(await app.stop()).toBe(0)
    expect(app.stderr).toBe('')
  })
})
