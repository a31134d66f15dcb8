import { cachesFromEnv, DriverRegistry } from '@stowage/core'
import { Env } from '@stowage/core/driver'
import driver, { postgres, tableStatements } from '@stowage/postgres'
import { afterEach, expect, test, vi } from 'vitest'
import { resolveOptions } from '../src/postgres-options.ts'

const code = 'ERR_CACHE_CONFIG'
afterEach(() => void vi.unstubAllEnvs())

test.each([
  { url: 'http://127.0.0.1' },
  { url: 'postgres' },
  { table: 'a"b' },
  { table: 'a.b.c' },
  { table: '' },
  { ensureTable: 'drop' },
  { maxConnections: 0 },
  { maxValueBytes: '1GiB' },
  { timeout: 0 },
  { sweepInterval: '30d' },
  { url: 'postgres://a,b/app?target_session_attrs=standby' },
  { url: 'postgres://a,b c/app' },
  { logged: true, replicas: ['db'] },
  { url: 'postgres://a/app', replicas: ['db'] },
  { url: 'postgres://a/app', logged: true, replicas: ['db:5432/x'] },
  { url: 'postgres://a/app', logged: true, replicas: ['postgres://b,c/app'] },
  { url: 'postgres://a/app', logged: true, replicas: ['b'], transactionPooling: true },
  { readFrom: 'replicas' },
  { consistency: 'weak' },
  { url: 'postgres://127.0.0.1', pool: { connect: () => {} } },
])('rejects %o', (options) => {
  expect(() => postgres(options as object)).toThrow(expect.objectContaining({ code }))
})

test.each([
  { PGHOST: 'a,b,c', PGPORT: '1,2' },
  { PGHOST: 'a,b', PGPORT: '1,x' },
  { PGHOST: 'a,,b' },
  { PGHOST: 'a,b', PGTARGETSESSIONATTRS: 'standby' },
])('rejects %o', (variables: Record<string, string>) => {
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
  expect(() => postgres()).toThrow(expect.objectContaining({ code }))
})

test('rejects unknown options', () => {
  expect(() => postgres({ tabel: 'a' } as object)).toThrow('Did you mean table?')
})

test('reads the environment: each role has a table of its own', () => {
  const variables = { DATABASE_URL: 'postgres://db/app', POSTGRES_ENSURE_TABLE: 'create' }
  expect(driver.fromEnv(new Env(variables, 'cache'))).toMatchObject({
    url: 'postgres://db/app',
    table: 'stowage_cache',
    logged: false,
    ensureTable: 'create',
  })
  expect(driver.fromEnv(new Env(variables, 'session'))).toMatchObject({
    table: 'stowage_sessions',
    logged: true,
  })
  const own = { ...variables, POSTGRES_URL: 'postgres://other/app', SESSION_TABLE: 'web.sessions' }
  expect(driver.fromEnv(new Env(own, 'session'))).toMatchObject({
    url: 'postgres://other/app',
    table: 'web.sessions',
  })
})

test('reads the environment: standbys serve reads of logged tables', () => {
  const variables = {
    DATABASE_URL: 'postgres://app:secret@a,b:5433/app',
    POSTGRES_REPLICAS: 'b, c:5434',
    POSTGRES_CONSISTENCY: 'eventual',
  }
  const url = variables.DATABASE_URL
  expect(driver.fromEnv(new Env(variables, 'session'))).toMatchObject({
    url,
    replicas: ['b', 'c:5434'],
    consistency: 'eventual',
  })
  expect(driver.fromEnv(new Env(variables, 'cache'))).toMatchObject({ url, replicas: undefined })
  const own = new Env({ ...variables, SESSION_POSTGRES_URL: 'postgres://d/app' }, 'session')
  expect(driver.fromEnv(own)).toMatchObject({ replicas: undefined })
  const invalid = new Env({ ...variables, POSTGRES_REPLICAS: 'postgres://x/y' }, 'session')
  driver.fromEnv(invalid)
  expect(invalid.problems).toMatchObject([{ variable: 'POSTGRES_REPLICAS' }])
})

test('reports a maximum size that the option would refuse', () => {
  const env = new Env({ POSTGRES_MAX_BYTES: '512' }, 'cache')
  driver.fromEnv(env)
  expect(env.problems).toMatchObject([{ variable: 'POSTGRES_MAX_BYTES' }])
})

test('reports invalid variables, and masks the password', async () => {
  const registry = new DriverRegistry({ postgres: () => import('@stowage/postgres') })
  const variables = {
    CACHE_DRIVER: 'postgres',
    DATABASE_URL: 'mysql://user:secret@db/app',
    SESSION_POSTGRES_URL: 'postgres://user:secret@a,b/app?target_session_attrs=standby',
    CACHE_TABLE: 'no table',
    POSTGRES_ENSURE_TABLE: 'x',
  }
  const error = await cachesFromEnv(variables, registry).catch((reason: unknown) => reason)
  expect(error).toMatchObject({
    problems: [
      { variable: 'DATABASE_URL' },
      { variable: 'CACHE_TABLE' },
      { variable: 'POSTGRES_ENSURE_TABLE' },
      { variable: 'SESSION_POSTGRES_URL' },
    ],
  })
  expect(String(error)).not.toContain('secret')
})

test('the statement for migrations quotes the name', () => {
  expect(tableStatements({ table: 'app.cache' })).toContain(
    'UNLOGGED TABLE IF NOT EXISTS "app"."cache"',
  )
  expect(tableStatements({ logged: true })).toContain('CREATE TABLE IF NOT EXISTS "stowage_cache"')
  expect(() => tableStatements({ table: 'a; b' })).toThrow(expect.objectContaining({ code }))
})

test('reads replicas in the database of the primary', () => {
  const url = 'postgres://app:secret@a,b:5433/app'
  const replicas = ['c', 'postgres://reader@d', 'postgres://reader@e:5434/other?application_name=r']
  expect(resolveOptions({ url, logged: true, replicas }).replicaUrls).toEqual([
    'postgres://app:secret@c/app',
    'postgres://reader@d/app',
    'postgres://reader@e:5434/app?application_name=r',
  ])
  expect(resolveOptions({ logged: true, replicas: ['postgres://d/other'] }).replicaUrls).toEqual([
    'postgres://d/other',
  ])
})
