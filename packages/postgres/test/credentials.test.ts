import { execFileSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { Env } from '@stowage/core/driver'
import driver, { ensureTable, type PostgresOptions, postgres, postgresBus } from '@stowage/postgres'
import { type PostgresServer, startPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'

/** More than one failed call, or one of each kind, may leave open. */
const maxConnections = '20'
let server: PostgresServer
let admin: pg.Client

beforeAll(async () => {
  const settings = { max_connections: maxConnections, unix_socket_directories: '.' }
  server = await startPostgres({ settings })
  await ensureTable({ url: server.url })
  admin = new pg.Client(server.url)
  await admin.connect()
  await admin.query("CREATE ROLE app LOGIN PASSWORD 'right'; GRANT ALL ON stowage_cache TO app")
  await admin.query('CREATE ROLE guest LOGIN')
  const { rows } = await admin.query('SHOW hba_file')
  await admin.query(`COPY (VALUES ('host all app 127.0.0.1/32 scram-sha-256'),
    ('host all all 127.0.0.1/32 trust'), ('local all all trust')) TO '${rows[0].hba_file}'`)
  await admin.query('SELECT pg_reload_conf()')
})
afterEach(() => void vi.unstubAllEnvs())
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

test.each(['@', 'guest@', 'guest@localhost'])(
  'a URL may name the folder of a socket, after %s',
  async (authority) => {
    const { rows } = await admin.query('SHOW data_directory')
    const parameters = `host=${rows[0].data_directory}&port=${server.port}&user=guest`
    const url = `postgres://${authority}/postgres?${parameters}&options=-c%20lock_timeout%3D7`
    await openStore({ url }).ping()
    const bus = postgresBus({ url, timeout: '20s' })
    onTestFinished(() => bus.close())
    await bus.subscribe(() => {})
    const variables = { DATABASE_URL: url }
    const env = new Env(variables, 'cache')
    expect(driver.fromEnv(env).url).toBe(url)
    expect(env.problems).toEqual([])
  },
)

test('the options of PGOPTIONS apply, unless the URL has others', async () => {
  await admin.query('CREATE SCHEMA own')
  await ensureTable({ url: server.url, table: 'own.items' })
  vi.stubEnv('PGOPTIONS', '-c search_path=own')
  const url = server.url
  expect(await openStore({ url, table: 'items' }).get('k')).toBeUndefined()
  const other = openStore({ url: `${url}?options=-c%20search_path%3Dpublic`, table: 'items' })
  await expect(other.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_CONFIG' })
})

describe('the option ssl', () => {
  let certificate: string

  beforeAll(async () => {
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
    const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', '-', '-days', '2']
    const pem = execFileSync('openssl', [...args, ...subject], { stdio: 'pipe', encoding: 'utf8' })
    const [key = '', rest = ''] = pem.split(/(?=-----BEGIN CERTIFICATE)/)
    certificate = rest
    const { rows } = await admin.query('SHOW data_directory')
    // The server must be the owner of its files.
    for (const [name, text] of [
      ['server.key', key],
      ['server.crt', certificate],
    ] as const) {
      const lines = text.trim().split('\n')
      const values = lines.map((line) => `('${line}')`).join()
      const path = `${rows[0].data_directory}/${name}`
      await admin.query(`COPY (VALUES ${values}) TO '${path}'`)
      chmodSync(path, 0o600)
    }
    await admin.query('ALTER SYSTEM SET ssl = on')
    await admin.query('SELECT pg_reload_conf()')
    await vi.waitFor(async () => {
      const client = new pg.Client(urlWith('sslmode=no-verify'))
      await client.connect()
      await client.end()
    }, 20_000)
  })

  function urlWith(search: string): string {
    return `${urlOf('guest')}?${search}`
  }

  const connections = async () => {
    const { rows } =
      await admin.query(`SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
      WHERE usename = 'guest'`)
    return rows
  }

  /** Whether the connection of a store uses TLS. */
  async function usesTls(options: PostgresOptions): Promise<boolean> {
    // Connections of earlier stores end a moment later.
    await vi.waitFor(async () => expect(await connections()).toEqual([]), 20_000)
    const store = openStore(options)
    await store.ping()
    const [row] = await connections()
    await store.close()
    return row.ssl
  }

  test.each(['', '&target_session_attrs=read-write'])(
    'is preferred to the parameters of the URL %s',
    async (more) => {
      const ca = certificate
      const unknown = 'sslrootcert=/missing.pem'
      for (const [search, ssl, isUsed] of [
        ['sslmode=require', false, false],
        ['ssl=true', false, false],
        [unknown, false, false],
        ['sslmode=disable', { ca }, true],
        ['sslmode=no-verify', { ca }, true],
        [unknown, { ca }, true],
        ['', { ca }, true],
        ['', undefined, false],
        ['sslmode=no-verify', undefined, true],
      ] as const) {
        expect(await usesTls({ url: urlWith(search + more), ssl }), search).toBe(isUsed)
      }
      const url = urlWith(`sslmode=no-verify${more}`)
      await expect(openStore({ url, ssl: true }).ping()).rejects.toMatchObject({
        code: 'ERR_CACHE_UNAVAILABLE',
      })
    },
  )
})
