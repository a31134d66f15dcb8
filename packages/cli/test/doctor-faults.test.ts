// What doctor finds, in one table. Texts and remedies, and faults that need a process or a proxy of their own (a lagging
// replica, clocks that differ, a missing package, a directory without permission), are in doctor.test.ts.
import { ensureTable } from '@stowage/dynamodb'
import { ensureTable as ensurePostgresTable } from '@stowage/postgres'
import {
  command,
  type DynamoDBDatabase,
  freePort,
  type MemcachedServer,
  type PostgresDatabase,
  type RedisServer,
  type Replicated,
  sharedPostgres,
  startRedis,
} from '@stowage/test-servers'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import {
  connectionTo,
  createTableWithoutTtl,
  local,
  onTable,
  redisAt,
  startBackends,
  type Variables,
} from './backends.ts'
import { Folder, parsed } from './stowage.ts'

const servers: { readonly stop: () => Promise<void> }[] = []
let redis: RedisServer
let protectedRedis: RedisServer
let fullRedis: RedisServer
let evictingRedis: RedisServer
let lonelyRedis: RedisServer
let replicated: Replicated
let memcached: MemcachedServer
let dynamodb: DynamoDBDatabase
let postgres: PostgresDatabase
let deadPort: number
let folder: Folder

beforeAll(async () => {
  const evicting = ['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru']
  const backends = await startBackends()
  ;({ redis, replicated, memcached, dynamodb } = backends)
  protectedRedis = await startRedis({ args: ['--requirepass', 'right'] })
  fullRedis = await startRedis({ args: ['--maxmemory', '500kb'] })
  evictingRedis = await startRedis({ args: evicting })
  lonelyRedis = await startRedis({ args: ['--min-replicas-to-write', '1'] })
  const shared = await sharedPostgres()
  // The server of the tests does not wait for its disk.
  postgres = { ...shared, url: `${shared.url}?options=-c%20synchronous_commit%3Don` }
  servers.push(postgres, backends, protectedRedis, fullRedis, evictingRedis, lonelyRedis)
  deadPort = await freePort()
  const access = (user: string, ...rules: string[]) =>
    command(redis.port, 'ACL', 'SETUSER', user, 'reset', 'on', '>pw', ...rules)
  await access('others', '~other:*', '+@all')
  await access('reader', '~*', '+@read', '+ping', '+info', '+time')
  await access('unscripted', '~*', '+@all', '-@scripting')
  await ensureTable({
    ...connectionTo(dynamodb),
    ...{ table: 'healthy', timeout: '1m', requestTimeout: '1m' },
  })
  await ensurePostgresTable({ url: postgres.url, table: 'stowage_cache' })
  await ensurePostgresTable({ url: postgres.url, table: 'stowage_sessions', logged: true })
  await createTableWithoutTtl('without-ttl', dynamodb)
})
afterAll(async () => {
  for (const server of servers) await server.stop()
})
beforeEach(() => {
  folder = new Folder()
})
afterEach(() => folder.remove())

const memcachedAt = (...addresses: string[]): Variables => ({
  CACHE_DRIVER: 'memcached',
  MEMCACHED_SERVERS: addresses.join(),
})
const table = (name: string) => onTable(name, dynamodb)
const secret = 'a secret of at least 32 characters'

async function codesOf(variables: Variables): Promise<readonly string[]> {
  const outcome = await folder.run(['doctor', '--json'], { NODE_ENV: 'test', ...variables })
  const { findings } = parsed(outcome) as { findings: { readonly code: string }[] }
  const codes = findings.map(({ code }) => code)
  return [...new Set(codes)]
}

const faults: Readonly<Record<string, readonly [code: string, variables: () => Variables]>> = {
  'a wrong port': ['unreachable', () => redisAt(deadPort)],
  'a wrong password': ['authentication', () => redisAt(protectedRedis.port, ':wrong@')],
  'no password where one is required': ['authentication', () => redisAt(protectedRedis.port)],
  'a password with #': ['env-invalid', () => redisAt(protectedRedis.port, ':ri#ght@')],
  'a database that the server does not have': [
    'redis-database',
    () => ({ ...redisAt(redis.port), REDIS_URL: `redis://${local(redis.port)}/99` }),
  ],
  'rediss:// to a server without TLS': [
    'unreachable',
    () => ({ ...redisAt(redis.port), REDIS_URL: `rediss://${local(redis.port)}` }),
  ],
  'Memcached behind REDIS_URL': [
    'redis-protocol',
    () => ({ CACHE_DRIVER: 'redis', REDIS_URL: `redis://${memcached.address}` }),
  ],
  'a replica as the primary': [
    'redis-not-primary',
    () => redisAt(replicated.replicas[0]?.port ?? 0),
  ],
  'a primary as a replica': [
    'redis-replica-is-primary',
    () => ({ ...redisAt(replicated.primary.port), REDIS_REPLICAS: local(redis.port) }),
  ],
  'eviction of sessions': ['eviction', () => redisAt(evictingRedis.port)],
  'a full memory with noeviction': ['redis-not-writable', () => redisAt(fullRedis.port)],
  'too few replicas to write': ['redis-not-writable', () => redisAt(lonelyRedis.port)],
  'a user without the pattern of the keys': [
    'redis-not-writable',
    () => redisAt(redis.port, 'others:pw@'),
  ],
  'a user that may only read': ['redis-not-writable', () => redisAt(redis.port, 'reader:pw@')],
  'a user without scripts': ['redis-not-writable', () => redisAt(redis.port, 'unscripted:pw@')],
  'a dead node': ['memcached-node-down', () => memcachedAt(memcached.address, local(deadPort))],
  'Redis behind MEMCACHED_SERVERS': ['memcached-protocol', () => memcachedAt(local(redis.port))],
  'a plain Memcached as the configuration endpoint': [
    'memcached-no-configuration',
    () => ({ CACHE_DRIVER: 'memcached', MEMCACHED_CONFIGURATION_ENDPOINT: memcached.address }),
  ],
  'a missing table': ['dynamodb-table-missing', () => table('missing')],
  'a table without TTL': ['dynamodb-ttl', () => table('without-ttl')],
  'a missing region': ['dynamodb-region', () => ({ CACHE_DRIVER: 'dynamodb', CACHE_TABLE: 'any' })],
  'a file in place of the directory of LMDB': [
    'lmdb-directory',
    () => ({ CACHE_DRIVER: 'lmdb', CACHE_PATH: folder.write('file', '') }),
  ],
  'a prefix that cache and sessions share': [
    'prefix-overlap',
    () => ({ ...redisAt(redis.port), CACHE_PREFIX: 'app:', SESSION_PREFIX: 'app:' }),
  ],
  'a misspelt variable': ['env-misspelt', () => ({ CACHE_DRVER: 'redis' })],
  'a variable of another framework': [
    'env-foreign',
    () => ({
      ...{ CACHE_DRIVER: 'redis', CACHE_REDIS_URL: redis.url, SESSION_DRIVER: 'memory' },
      REDIS_HOST: 'localhost',
    }),
  ],
  'a missing secret without NODE_ENV': [
    'session-secret-missing',
    () => ({ ...redisAt(redis.port), NODE_ENV: '', SESSION_PREFIX: 's:' }),
  ],
  'a weak secret': [
    'env-invalid',
    () => ({ ...redisAt(redis.port), NODE_ENV: 'production', SESSION_SECRET: 'change me' }),
  ],
  'two secrets without a comma': [
    'env-invalid',
    () => ({ SESSION_SECRET: `${'x'.repeat(44)} ${'y'.repeat(44)}` }),
  ],
  'sameSite none without secure': [
    'env-invalid',
    () => ({ SESSION_COOKIE_SECURE: 'false', SESSION_COOKIE_SAME_SITE: 'none' }),
  ],
  'memory in production': [
    'memory-in-production',
    () => ({ NODE_ENV: 'production', SESSION_SECRET: secret }),
  ],
}

test.each(Object.keys(faults))('finds one fault: %s', async (name) => {
  const [code, variables] = faults[name] as (typeof faults)[string]
  expect(await codesOf(variables())).toEqual([code])
})

const healthy: Readonly<Record<string, () => Variables>> = {
  memory: () => ({}),
  LMDB: () => ({ CACHE_DRIVER: 'lmdb', CACHE_PATH: `${folder.path}/cache` }),
  Redis: () => ({ ...redisAt(redis.port), NODE_ENV: 'production', SESSION_SECRET: secret }),
  'Redis with a replica': () => ({
    ...redisAt(replicated.primary.port),
    REDIS_REPLICAS: local(replicated.replicas[0]?.port as number),
  }),
  Memcached: () => memcachedAt(memcached.address),
  DynamoDB: () => table('healthy'),
  'DynamoDB that creates its tables with the first command': () => ({
    ...table('later'),
    DYNAMODB_ENSURE_TABLE: 'create',
  }),
  'DynamoDB that enables the TTL with the first command': () => ({
    ...table('without-ttl'),
    DYNAMODB_ENSURE_TABLE: 'create',
  }),
  PostgreSQL: () => ({ CACHE_DRIVER: 'postgres', DATABASE_URL: postgres.url }),
  'PostgreSQL that creates its tables with the first command': () => ({
    ...{ CACHE_DRIVER: 'postgres', DATABASE_URL: postgres.url, CACHE_TABLE: 'later' },
    POSTGRES_ENSURE_TABLE: 'create',
  }),
}

test.each(Object.keys(healthy))('finds nothing in a healthy set-up: %s', async (name) => {
  expect(await codesOf((healthy[name] as () => Variables)())).toEqual([])
})
