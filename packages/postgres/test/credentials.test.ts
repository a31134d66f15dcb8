import { ensureTable, type PostgresOptions, postgres, postgresBus } from '@stowage/postgres'
import { type PostgresServer, startPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'

/** More than one failed call, or one of each kind, may leave open. */
const maxConnections = '20'
let server: PostgresServer
let admin: pg.Client

beforeAll(async () => {
  server = await startPostgres({ settings: { max_connections: maxConnections } })
  await ensureTable({ url: server.url })
  admin = new pg.Client(server.url)
  await admin.connect()
  await admin.query("CREATE ROLE app LOGIN PASSWORD 'right'; GRANT ALL ON stowage_cache TO app")
  await admin.query('CREATE ROLE guest LOGIN')
  const { rows } = await admin.query('SHOW hba_file')
  await admin.query(`COPY (VALUES ('host all app 127.0.0.1/32 scram-sha-256'),
    ('host all all 127.0.0.1/32 trust')) TO '${rows[0].hba_file}'`)
  await admin.query('SELECT pg_reload_conf()')
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})

function urlOf(user: string): string {
  return server.url.replace('postgres@', `${user}@`)
}

function openStore(options: PostgresOptions) {
  const store = postgres({ url: urlOf('app'), timeout: '20s', ...options })
  onTestFinished(() => store.close())
  return store
}

function throwing(): string {
  throw new Error('no token')
}

describe('a password function', () => {
  test.each(['', '?target_session_attrs=read-write'])(
    'is called for each connection, also with one in the URL %s',
    async (search) => {
      const password = vi.fn(async () => 'right')
      for (const user of ['app', 'app:wrong']) {
        const store = openStore({ url: urlOf(user) + search, password, maxConnections: 1 })
        await store.set('k', user)
        expect(await store.get('k')).toBe(user)
      }
      expect(password).toHaveBeenCalledTimes(2)
      const bus = postgresBus({ url: urlOf('app') + search, password, timeout: '20s' })
      onTestFinished(() => bus.close())
      await bus.subscribe(() => {})
      await bus.publish(['k'])
      expect(password).toHaveBeenCalledTimes(4)
    },
  )

  test.each([
    ['rejects', async () => Promise.reject(new Error('no token')), 'ERR_CACHE_UNAVAILABLE'],
    ['throws', throwing, 'ERR_CACHE_UNAVAILABLE'],
    ['returns a wrong one', () => 'wrong', 'ERR_CACHE_REJECTED'],
    ['returns none', () => undefined as unknown as string, 'ERR_CACHE_REJECTED'],
    ['hangs', () => new Promise<string>(() => {}), 'ERR_CACHE_TIMEOUT'],
  ])('that %s leaves no connection open', async (_, password, code) => {
    const hangs = code === 'ERR_CACHE_TIMEOUT'
    const store = openStore({ password, timeout: hangs ? '300ms' : '20s' })
    for (let call = 0; call < 2 * Number(maxConnections); call++) {
      await expect(store.get('k')).rejects.toMatchObject({ code })
      if (hangs && call > 3) break
    }
    await vi.waitFor(
      async () => {
        const { rowCount } = await admin.query(
          `SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`,
        )
        expect(rowCount).toBe(0)
      },
      { timeout: 20_000 },
    )
  })
})

test('ensureTable rejects with a coded error when the server rejects the role', async () => {
  await expect(ensureTable({ url: urlOf('absent') })).rejects.toMatchObject({
    code: 'ERR_CACHE_REJECTED',
  })
})

test('without the privilege to create the table, the error names it and the statement', async () => {
  const options = { url: urlOf('guest'), table: 'other' }
  await expect(ensureTable(options)).rejects.toMatchObject({
    code: 'ERR_CACHE_CONFIG',
    message: expect.stringMatching(/GRANT CREATE ON SCHEMA.*TABLE IF NOT EXISTS "other"/s),
  })
})
