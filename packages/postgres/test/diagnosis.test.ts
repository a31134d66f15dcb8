import { Cache } from '@stowage/core'
import { checkBackend } from '@stowage/core/tools'
import { ensureTable, type PostgresOptions, postgres } from '@stowage/postgres'
import {
  freePort,
  type PostgresServer,
  startPgBouncer,
  startPostgres,
  startPostgresStandby,
} from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'

let server: PostgresServer
let admin: pg.Pool

beforeAll(async () => {
  server = await startPostgres({ settings: { max_connections: '12', synchronous_commit: 'on' } })
  admin = new pg.Pool({ connectionString: server.url, max: 9, idleTimeoutMillis: 1 }).on(
    'error',
    () => {},
  )
  await ensureTable({ url: server.url })
  await ensureTable({ url: server.url, table: 'sessions', logged: true })
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})

async function findingsOf(options: PostgresOptions = {}, holdsSessions = false) {
  const own = { url: server.url, maxConnections: 1, timeout: '20s' } as const
  await using cache = new Cache(postgres({ ...own, ...options }))
  const report = await checkBackend(cache, { holdsSessions })
  if (report === undefined) throw new Error('no diagnostics')
  const { servers, findings } = report
  const replicas = servers.slice(1)
  for (const finding of findings) expect(finding.remedy).toMatch(/\w/)
  return { facts: servers[0]?.facts, replicas, codes: findings.map(({ code }) => code), findings }
}

test('a table that is as it must be', async () => {
  expect(await findingsOf()).toMatchObject({ codes: [], facts: { role: 'primary' } })
  expect(await findingsOf({ table: 'sessions', logged: true }, true)).toMatchObject({ codes: [] })
})

test('a table that is missing, or UNLOGGED with sessions', async () => {
  expect((await findingsOf({ table: 'none' })).codes).toEqual(['postgres-table'])
  expect((await findingsOf({}, true)).codes).toEqual(['postgres-unlogged-sessions'])
})

test('no table that the first command creates, unless the role may not create it', async () => {
  const create = { table: 'later', ensureTable: 'create' } as const
  expect(await findingsOf(create)).toMatchObject({
    codes: [],
    facts: { status: 'created by the first command' },
  })
  expect((await findingsOf({ ...create, table: 'public.later' })).codes).toEqual([])
  expect((await findingsOf({ ...create, table: 'none.later' })).codes).toEqual([
    'postgres-permission',
  ])
  await admin.query(
    'CREATE ROLE creator LOGIN; CREATE SCHEMA closed; REVOKE CREATE ON SCHEMA public FROM public',
  )
  const url = server.url.replace('postgres@', 'creator@')
  for (const [table, privilege] of [
    ['later', 'CREATE'],
    ['closed.later', 'USAGE'],
  ] as const) {
    const { findings } = await findingsOf({ ...create, url, table })
    const remedy = expect.stringContaining(`GRANT ${privilege} ON SCHEMA`)
    expect(findings).toMatchObject([{ code: 'postgres-permission', remedy }])
  }
  // The check creates nothing.
  expect((await findingsOf({ table: 'later' })).codes).toEqual(['postgres-table'])
})

test('a database that the server does not have', async () => {
  const { codes } = await findingsOf({ url: server.url.replace(/[^/]*$/, 'none') })
  expect(codes).toEqual(['postgres-database'])
})

test('a role that lacks privileges', async () => {
  await admin.query('CREATE ROLE reader LOGIN')
  await admin.query('GRANT SELECT ON stowage_cache TO reader')
  const { findings } = await findingsOf({ url: server.url.replace('postgres@', 'reader@') })
  expect(findings).toMatchObject([
    {
      code: 'postgres-permission',
      remedy: expect.stringContaining('GRANT INSERT, UPDATE, DELETE'),
    },
  ])
})

test('a sweep that has not run for hours', async () => {
  await admin.query(`INSERT INTO stowage_cache VALUES ('', '0', NULL, now() - interval '5 h')`)
  expect((await findingsOf()).codes).toEqual(['postgres-sweep'])
  await admin.query(`DELETE FROM stowage_cache`)
})

test('a server whose connections are nearly used up', async () => {
  const clients = await Promise.all(Array.from({ length: 9 }, () => admin.connect()))
  const { codes } = await findingsOf()
  for (const client of clients) client.release()
  expect(codes).toEqual(['postgres-connections'])
})

test('a server that is not there', async () => {
  const port = await freePort()
  const url = server.url.replace(`:${server.port}`, `:${port}`)
  const { findings } = await findingsOf({ url })
  expect(findings).toHaveLength(1)
  expect(findings[0]?.severity).toBe('error')
})

test('a limit of connections below maxConnections', async () => {
  await admin.query('CREATE ROLE limited LOGIN SUPERUSER CONNECTION LIMIT 3')
  const url = server.url.replace('postgres@', 'limited@')
  expect((await findingsOf({ url, maxConnections: 3 })).codes).toEqual([])
  const { findings } = await findingsOf({ url, maxConnections: 4 })
  expect(findings).toMatchObject([{ code: 'postgres-connection-limit' }])
})

test('a pooler in transaction mode, without the option', async () => {
  const pooler = await startPgBouncer({ url: server.url })
  const pool = new pg.Pool({ connectionString: pooler.url }).on('error', () => {})
  const direct = new pg.Pool({ connectionString: server.url, max: 2 }).on('error', () => {})
  const place = { url: undefined, preparedStatements: false }
  expect((await findingsOf({ ...place, pool })).codes).toEqual(['postgres-pool-mode'])
  expect((await findingsOf({ ...place, pool: direct })).codes).toEqual([])
  const { findings } = await findingsOf({ url: pooler.url })
  expect(findings).toMatchObject([{ problem: expect.stringContaining('transactionPooling: true') }])
  await Promise.all([pool.end(), direct.end()])
  await pooler.stop()
})

test('a standby that lags, is disconnected, or was promoted', async () => {
  const standby = await startPostgresStandby({ of: server.port })
  const query = async (text: string) => {
    const client = new pg.Client(standby.url)
    await client.connect()
    const { rows } = await client.query(text).finally(() => client.end())
    return rows
  }
  const options = {
    table: 'sessions',
    logged: true,
    replicas: [`127.0.0.1:${standby.port}`],
  }
  await expect
    .poll(() => findingsOf(options, true))
    .toMatchObject({
      codes: [],
      replicas: [{ role: 'replica', facts: { lag: expect.stringMatching(/ms$/) } }],
    })
  await query('SELECT pg_wal_replay_pause()')
  const state = 'SELECT pg_get_wal_replay_pause_state() AS state'
  await expect.poll(() => query(state)).toEqual([{ state: 'paused' }])
  await admin.query("INSERT INTO sessions VALUES ('k', 'v', NULL, 'infinity')")
  expect((await findingsOf(options, true)).codes).toEqual(['postgres-replica-lag'])
  await query('SELECT pg_wal_replay_resume()')
  await query('SELECT pg_promote()')
  expect((await findingsOf(options, true)).codes).toEqual(['postgres-replica-is-primary'])
  await standby.stop()
  expect(await findingsOf(options, true)).toMatchObject({
    codes: ['unreachable'],
    replicas: [{ isReachable: false }],
  })
})
