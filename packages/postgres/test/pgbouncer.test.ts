import { Cache } from '@stowage/core'
import { checkBackend } from '@stowage/core/tools'
import { ensureTable, type PostgresOptions, postgres, postgresBus } from '@stowage/postgres'
import {
  isFullTier,
  type PgBouncer,
  type PostgresDatabase,
  sharedPostgres,
  startPgBouncer,
} from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { conformTable } from './conform-table.ts'

const pooled = { transactionPooling: true, timeout: '20s' } as const
let database: PostgresDatabase
let pooler: PgBouncer
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  database = await sharedPostgres()
  pooler = await startPgBouncer({ url: database.url })
  await ensureTable({ url: database.url })
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(async () => {
  await pooler.stop()
  await database.stop()
})

function openStore(options: PostgresOptions) {
  const store = postgres({ url: pooler.url, ...options })
  cleanups.push(() => store.close())
  return store
}

test('stores share two connections of a PgBouncer in transaction mode', async () => {
  const stores = Array.from({ length: 4 }, () => openStore(pooled))
  const keys = Array.from({ length: 20 }, (_, index) => `key:${index}`)
  for (let round = 0; round < 5; round++) {
    await Promise.all(
      stores.flatMap((store) => [
        ...keys.map((key) => store.set(key, key)),
        ...keys.map(async (key) => expect(await store.get(key)).toBe(key)),
        store.increment('n', 1),
        store.touch('key:1', 60_000),
      ]),
    )
  }
  expect(await stores[0]?.get('n')).toBe('20')
  const admin = new pg.Client(database.url)
  await admin.connect()
  const { rows } = await admin.query(`SELECT count(*)::int AS count FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()`)
  await admin.end()
  expect(rows[0].count).toBeLessThanOrEqual(2)
})

test('the error names the option that is missing', async () => {
  const config = {
    code: 'ERR_CACHE_CONFIG',
    message: expect.stringContaining('transactionPooling: true'),
  }
  await expect(openStore({}).get('k')).rejects.toMatchObject(config)
  // Of two clients, one prepares what the other one executes on the same connection.
  const stores = Array.from({ length: 4 }, () => openStore({ ...pooled, preparedStatements: true }))
  const calls = Array.from({ length: 20 }, () =>
    Promise.all(stores.flatMap((store) => [store.get('k'), store.set('k', 'v')])),
  )
  await expect(Promise.all(calls)).rejects.toMatchObject(config)
})

test('a call waits for a client of PgBouncer to leave, and names its limit', async () => {
  const full = await startPgBouncer({ url: database.url, maxClients: 1 })
  cleanups.push(() => full.stop())
  const { url } = full
  // The connection that has shown that it runs ends a moment later.
  const other = await vi.waitFor(
    async () => {
      const client = new pg.Client(url)
      await client.connect()
      return client
    },
    { timeout: 20_000 },
  )
  await expect(openStore({ ...pooled, url, timeout: '500ms' }).get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringContaining('max_client_conn'),
  })
  const waiting = openStore({ ...pooled, url, maxConnections: 1 }).set('k', 'v')
  await other.end()
  await waiting
})

test('in session mode, statements may be prepared, and messages of a bus arrive', async () => {
  const inSessions = await startPgBouncer({ url: database.url, poolMode: 'session', poolSize: 8 })
  cleanups.push(() => inSessions.stop())
  const { url } = inSessions
  const store = openStore({ ...pooled, url, preparedStatements: true })
  await store.set('k', 'session')
  expect(await store.get('k')).toBe('session')
  const bus = postgresBus({ url, timeout: '20s' })
  cleanups.push(() => bus.close())
  await bus.subscribe(() => {})
  expect(bus.connected).toBe(true)
})

test('a bus rejects to subscribe, because messages do not pass', async () => {
  const bus = postgresBus({ url: pooler.url, timeout: '2s' })
  cleanups.push(() => bus.close())
  await bus.publish(['a'])
  await expect(bus.subscribe(() => {})).rejects.toMatchObject({
    code: 'ERR_CACHE_TIMEOUT',
    message: expect.stringContaining('PgBouncer'),
  })
})

test('the doctor wants a timeout of statements', async () => {
  const cache = new Cache(openStore(pooled))
  const { findings = [] } = (await checkBackend(cache)) ?? {}
  expect(findings).toMatchObject([
    { code: 'postgres-statement-timeout', remedy: expect.stringContaining('20000ms') },
  ])
})

if (isFullTier) {
  describe('the contract', () => {
    conformTable('behind PgBouncer in transaction mode', () => ({
      url: pooler.url,
      transactionPooling: true,
    }))
  })
}
