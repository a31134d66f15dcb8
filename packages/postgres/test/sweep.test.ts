import { ensureTable, type PostgresOptions, postgres } from '@stowage/postgres'
import { type PostgresDatabase, sharedPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Executor } from '../src/connections/executor.ts'
import { Sweep } from '../src/upkeep/sweep.ts'

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
async function startSweep(options: PostgresOptions = {}) {
  const { url } = server
  const own = { timeout: '20s', sweepInterval: 50, maxConnections: 1 } as const
  const store = postgres({ url, ...own, ...options })
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

test.each([
  ['the clock of the server was set back', '{}', '1 y'],
  ['it is not valid', 'x', '0'],
])('its state is replaced if %s', async (_, value, pause) => {
  await admin.query(`INSERT INTO ${table} VALUES ('', $1, NULL, now() + $2::interval)`, [
    value,
    pause,
  ])
  await insertExpired(10)
  await startSweep()
  await vi.waitFor(async () => expect(await countOf("key LIKE 'expired:%'")).toBe(0), patient)
})

test.each(['seen', 'oldest'])('a table may have the name %s, like a subquery', async (name) => {
  await admin.query(`CREATE TABLE "${name}" (LIKE ${table} INCLUDING ALL)`)
  cleanups.push(() => admin.query(`DROP TABLE "${name}"`))
  await startSweep({ table: name, logged: true, maxBytes: '1MiB' })
  // It is written at the end of a step.
  const state = `SELECT value FROM "${name}" WHERE key = '' AND value LIKE '%bytes%'`
  await vi.waitFor(async () => expect((await admin.query(state)).rowCount).toBe(1), patient)
})

describe('a table that is larger than maxBytes', () => {
  const rows = 3_000

  /** Rows of 300 bytes each, in several transactions. */
  async function insertAlive(prefix: string): Promise<void> {
    for (let part = 0; part < 10; part++) {
      await admin.query(
        `INSERT INTO ${table} SELECT $1 || $2 || ':' || n, repeat('v', 200), NULL, 'infinity'
          FROM generate_series(1, $3::int) n`,
        [prefix, `${part}`, rows / 10],
      )
    }
  }

  /** Waits until the table has been passed over several times: its state is written twice in each of two steps. */
  async function untilPassedOver(): Promise<void> {
    const versions = new Set<string>()
    await vi.waitFor(
      async () => {
        const { rows } = await admin.query(`SELECT xmin FROM ${table} WHERE key = ''`)
        versions.add(rows[0]?.xmin)
        expect(versions.size).toBeGreaterThan(10)
      },
      { ...patient, interval: 1 },
    )
  }

  test('loses what was written longest ago, and neither locks nor limits', async () => {
    await admin.query(`INSERT INTO ${table} VALUES ('app:~lock:a', '1', NULL, 'infinity')`)
    await insertAlive('old:')
    await insertAlive('new:')
    const maxBytes = 1_200_000
    await startSweep({ maxBytes })
    const maxRows = maxBytes / 300
    await vi.waitFor(async () => expect(await countOf('true')).toBeLessThan(maxRows), patient)
    await untilPassedOver()
    const [oldRows, newRows] = [
      await countOf("key LIKE 'old:%'"),
      await countOf("key LIKE 'new:%'"),
    ]
    expect(newRows).toBeGreaterThan(rows * 0.6)
    expect(oldRows).toBeLessThan(rows * 0.5)
    expect(await countOf("key = 'app:~lock:a'")).toBe(1)
  })

  test('is left alone below it', async () => {
    await insertAlive('old:')
    await startSweep({ maxBytes: '2MiB' })
    await untilPassedOver()
    expect(await countOf("key LIKE 'old:%'")).toBe(rows)
  })
})

test('an interval of weeks is never longer than a timer can wait', async () => {
  vi.useFakeTimers()
  vi.spyOn(Math, 'random').mockReturnValue(0.9)
  cleanups.push(
    async () => vi.useRealTimers(),
    async () => vi.restoreAllMocks(),
  )
  const run = vi.fn(async () => [undefined]) // Another process sweeps.
  const sweepIntervalMs = 24 * 86_400_000
  const options = { quotedTable: table, sweepIntervalMs, maxBytes: undefined }
  const sweep = new Sweep({ run } as unknown as Executor, options)
  sweep.start()
  await vi.advanceTimersByTimeAsync(sweepIntervalMs)
  expect(run).toHaveBeenCalledOnce()
  await vi.advanceTimersByTimeAsync(1_000)
  expect(run).toHaveBeenCalledOnce()
  await sweep.close()
})
