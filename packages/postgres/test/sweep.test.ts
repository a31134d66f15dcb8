import { ensureTable, postgres } from '@stowage/postgres'
import { type PostgresDatabase, sharedPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'

let server: PostgresDatabase
let admin: pg.Pool
const cleanups: (() => Promise<unknown>)[] = []
const table = 'stowage_cache'
/** A step that takes a second on a busy machine is followed by a pause of 99. */
const patient = { timeout: 150_000 }

beforeAll(async () => {
  server = await sharedPostgres()
  admin = new pg.Pool({ connectionString: server.url })
  await ensureTable({ url: server.url })
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  await admin.query(`TRUNCATE ${table}`)
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})

/** A store that sweeps. */
async function startSweep() {
  const store = postgres({ url: server.url, timeout: '20s', sweepInterval: 50, maxConnections: 1 })
  cleanups.push(() => store.close())
  await store.set('alive', '1', 3_600_000)
  return store
}

/** Rows that expired a second ago, more than are swept at once. */
async function insertExpired(count: number): Promise<void> {
  await admin.query(
    `INSERT INTO ${table} SELECT 'expired:' || n, repeat('v', 200), NULL, now() - interval '1 s'
      FROM generate_series(1, $1::int) n`,
    [count],
  )
}

async function countOf(where: string): Promise<number> {
  const { rows } = await admin.query(`SELECT count(*)::int AS count FROM ${table} WHERE ${where}`)
  return rows[0].count
}

test('expired rows are deleted, page by page, and no others', async () => {
  await insertExpired(8_000)
  await startSweep()
  await vi.waitFor(async () => expect(await countOf("key LIKE 'expired:%'")).toBe(0), patient)
  expect(await countOf("key = 'alive'")).toBe(1)
})

test('a row that another transaction has locked is left for later', async () => {
  await insertExpired(2)
  const client = await admin.connect()
  await client.query('BEGIN')
  await client.query(`SELECT 1 FROM ${table} WHERE key = 'expired:1' FOR UPDATE`)
  await startSweep()
  await vi.waitFor(async () => expect(await countOf("key LIKE 'expired:%'")).toBe(1), patient)
  await client.query('COMMIT')
  client.release()
  await vi.waitFor(async () => expect(await countOf("key LIKE 'expired:%'")).toBe(0), patient)
})

test('its state is not an item', async () => {
  const store = await startSweep()
  await vi.waitFor(async () => expect(await countOf("key = ''")).toBe(1), patient)
  const keys: string[] = []
  for await (const page of store.scan?.('') ?? []) keys.push(...page)
  expect(keys).toEqual(['alive'])
})

test('one process at a time sweeps, and another continues when it has ended', async () => {
  const stores = await Promise.all([startSweep(), startSweep(), startSweep()])
  await vi.waitFor(async () => expect(await countOf("key = ''")).toBe(1), patient)
  await stores[0]?.close()
  await insertExpired(10)
  await vi.waitFor(async () => expect(await countOf("key LIKE 'expired:%'")).toBe(0), patient)
})
