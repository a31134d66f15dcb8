import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { Cache } from '@stowage/core'
import { ensureTable, postgres } from '@stowage/postgres'
import { migrating } from '@stowage/sessions'
import { type PostgresDatabase, sharedPostgres } from '@stowage/test-servers'
import connectPgSimple from 'connect-pg-simple'
import session from 'express-session'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'

const page = readFileSync(new URL('../../../docs/coming-from.md', import.meta.url), 'utf8')
const hourMs = 3_600_000
let server: PostgresDatabase
let pool: pg.Pool
let old: session.Store

beforeAll(async () => {
  server = await sharedPostgres()
  pool = new pg.Pool({ connectionString: server.url })
  const require = createRequire(import.meta.url)
  await pool.query(readFileSync(require.resolve('connect-pg-simple/table.sql'), 'utf8'))
  await pool.query(/^```sql\n(CREATE VIEW.*?)^```/ms.exec(page)?.[1] ?? '')
  old = new (connectPgSimple(session))({ pool, pruneSessionInterval: false })
  await ensureTable({ pool, table: 'sessions', logged: true })
})
afterAll(async () => {
  await pool.end()
  await server.stop()
})

function open() {
  const from = new Cache(postgres({ pool, table: 'old_sessions', logged: true, timeout: '20s' }))
  const cache = new Cache(postgres({ pool, table: 'sessions', logged: true, timeout: '20s' }), {
    ttl: '1d',
  })
  const until = new Date(Date.now() + hourMs)
  return migrating({ from: { cache: from, keys: 'ids' }, to: { cache }, until })
}

/** A session as express-session stores it. */
async function signIn(id: string, user: string): Promise<void> {
  const cookie = { originalMaxAge: hourMs, expires: new Date(Date.now() + hourMs), path: '/' }
  const set = promisify<string, unknown, void>(old.set.bind(old) as never)
  await set(id, { cookie, user })
}

const isStored = async (id: string) => {
  const get = promisify(old.get.bind(old)) as (id: string) => Promise<unknown>
  return Boolean(await get(id))
}

test('a session of connect-pg-simple is read, and moved with its first write', async () => {
  await signIn('an id', 'ada')
  const sessions = open()
  const found = (await sessions.read('an id')) ?? {}
  expect(found).toMatchObject({ user: 'ada' })
  expect(await isStored('an id')).toBe(true)
  await sessions.update('an id', Object.assign(found, { visits: 1 }))
  expect(await isStored('an id')).toBe(false)
  expect(await open().read('an id')).toMatchObject({ user: 'ada', visits: 1 })
})

test('a session that ends is ended in both, and not moved afterwards', async () => {
  await signIn('another', 'bob')
  const sessions = open()
  const found = (await sessions.read('another')) ?? {}
  await sessions.destroy('another')
  expect(await isStored('another')).toBe(false)
  await sessions.update('another', Object.assign(found, { visits: 1 })).catch(() => {})
  expect(await open().read('another')).toBeUndefined()
})

test('a session that has expired is not read', async () => {
  await signIn('expired', 'cy')
  await pool.query(`UPDATE session SET expire = now() - interval '1 s' WHERE sid = 'expired'`)
  expect(await open().read('expired')).toBeUndefined()
})
