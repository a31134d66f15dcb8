import { Cache } from '@stowage/core'
import { checkBackend } from '@stowage/core/tools'
import { ensureTable, type PostgresOptions, postgres } from '@stowage/postgres'
import { freePort, type PostgresServer, startPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'

let server: PostgresServer
let admin: pg.Pool

beforeAll(async () => {
  server = await startPostgres({ settings: { max_connections: '8', synchronous_commit: 'on' } })
  admin = new pg.Pool({ connectionString: server.url, max: 6 }).on('error', () => {})
  await ensureTable({ url: server.url })
  await ensureTable({ url: server.url, table: 'sessions', logged: true })
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})

async function findingsOf(options: PostgresOptions = {}, holdsSessions = false) {
  await using cache = new Cache(postgres({ url: server.url, maxConnections: 1, ...options }))
  const report = await checkBackend(cache, { holdsSessions })
  if (report === undefined) throw new Error('no diagnostics')
  const { servers, findings } = report
  for (const finding of findings) expect(finding.remedy).toMatch(/\w/)
  return { facts: servers[0]?.facts, codes: findings.map(({ code }) => code), findings }
}

test('a table that is as it must be', async () => {
  expect(await findingsOf()).toMatchObject({ codes: [], facts: { role: 'primary' } })
  expect(await findingsOf({ table: 'sessions', logged: true }, true)).toMatchObject({ codes: [] })
})

test('a table that is missing, or UNLOGGED with sessions', async () => {
  expect((await findingsOf({ table: 'none' })).codes).toEqual(['postgres-table'])
  expect((await findingsOf({}, true)).codes).toEqual(['postgres-unlogged-sessions'])
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
  const clients = await Promise.all(Array.from({ length: 6 }, () => admin.connect()))
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
