import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { AppProcess, type Variables } from '@stowage/example-shared/testing'
import { type PostgresDatabase, sharedPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'

const built = (name: string) => new URL(`../dist/${name}.js`, import.meta.url)
const apps: AppProcess[] = []
let database: PostgresDatabase
let admin: pg.Client
let variables: Variables
let urls: string[]

beforeAll(async () => {
  database = await sharedPostgres()
  admin = new pg.Client(database.url)
  await admin.connect()
  // Processes that share sessions share the secret.
  const deadline = { POSTGRES_TIMEOUT: '10s' }
  variables = { DATABASE_URL: database.url, SESSION_SECRET: 'only-for-this-test', ...deadline }
  const env = { ...process.env, ...variables }
  const { stdout } = await promisify(execFile)(process.execPath, [fileURLToPath(built('tables'))], {
    env,
  })
  expect(stdout).toBe('The tables exist.\n')
  urls = await Promise.all([startApp(), startApp()])
})

afterAll(async () => {
  for (const app of apps) app.signal('SIGKILL')
  await admin?.end()
  await database?.stop()
})

async function startApp(): Promise<string> {
  const app = new AppProcess(built('main'), variables)
  apps.push(app)
  return app.url()
}

async function post(index: number, text: string, cookie = ''): Promise<Response> {
  const headers = { 'content-type': 'application/json', cookie }
  const request = { method: 'POST', headers, body: JSON.stringify({ text }) }
  const response = await fetch(`${urls[index]}/notes`, request)
  // express-session sends the headers first, and ends the response when the session is stored.
  await response.text()
  return response
}

async function read(index: number, cookie = '') {
  const response = await fetch(`${urls[index]}/notes`, { headers: { cookie } })
  return response.json()
}

it('shows in each process what another one has committed, from the cache', async () => {
  expect(await read(1)).toEqual({ notes: [], written: 0 })
  const added = await post(0, 'first')
  const cookie = added.headers.getSetCookie()[0]?.split(';')[0] ?? ''
  expect(await read(1, cookie)).toEqual({ notes: ['first'], written: 1 })
  // A change without the app, of which the cache does not know.
  await admin.query("INSERT INTO notes (text) VALUES ('other program')")
  expect(await read(0, cookie)).toEqual({ notes: ['first'], written: 1 })
  await post(1, 'second', cookie)
  expect(await read(0, cookie)).toEqual({
    notes: ['first', 'other program', 'second'],
    written: 2,
  })
})

it('keeps the cache if the transaction fails', async () => {
  const before = await read(0)
  await admin.query("INSERT INTO notes (text) VALUES ('not in the cache')")
  expect((await post(1, '')).status).toBe(500)
  expect(await read(0)).toEqual(before)
})

it('keeps all in one database, and sessions in a table that survives a crash', async () => {
  const { rows } = await admin.query(
    `SELECT relname, relpersistence FROM pg_class
      WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname`,
  )
  expect(rows).toEqual([
    { relname: 'notes', relpersistence: 'p' },
    { relname: 'stowage_cache', relpersistence: 'u' },
    { relname: 'stowage_sessions', relpersistence: 'p' },
  ])
})

it('exits with 0 on SIGTERM', async () => {
  for (const app of apps) expect(await app.stop()).toBe(0)
})
