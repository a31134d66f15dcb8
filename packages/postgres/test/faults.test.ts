import { ensureTable, type PostgresOptions, postgres } from '@stowage/postgres'
import {
  type FaultProxy,
  freePort,
  type PostgresServer,
  runningTimeOf,
  startPostgres,
  startProxy,
} from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'

/** Longer than a busy machine stops the server. */
const timeoutMs = 1_500
const slackMs = 2_000
const patient = { timeout: 20_000 }

let server: PostgresServer
let proxy: FaultProxy
const cleanups: (() => unknown)[] = []

beforeAll(async () => {
  // Three connections are reserved for the superuser.
  server = await startPostgres({ settings: { max_connections: '12', synchronous_commit: 'on' } })
  await ensureTable({ url: server.url })
})
beforeEach(async () => {
  proxy = await startProxy(server.port)
  cleanups.push(() => proxy.stop())
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(() => server.stop())

function storeWith(options: PostgresOptions = {}) {
  const place = options.pool === undefined ? { url: urlOf(proxy.port) } : {}
  // A sweep, which begins at any time of its interval, could take the place of the call that a fault is meant for.
  const store = postgres({ timeout: timeoutMs, sweepInterval: '20d', ...place, ...options })
  cleanups.push(() => store.close())
  return store
}

function urlOf(port: number): string {
  return server.url.replace(`:${server.port}`, `:${port}`)
}

function poolWith(options: pg.PoolConfig = {}): pg.Pool {
  const pool = new pg.Pool({ connectionString: server.url, ...options }).on('error', () => {})
  cleanups.push(() => pool.end())
  return pool
}

async function waitUntilSucceeds(call: () => unknown): Promise<void> {
  await vi.waitFor(async () => call(), patient)
}

test('an increment whose reply is lost is executed once, and rejects', async () => {
  const store = storeWith({ maxConnections: 1 })
  await store.delete('n')
  await store.increment('n', 1)
  const lost = proxy.cutReplies()
  await expect(store.increment('n', 1)).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  await lost
  await waitUntilSucceeds(async () => expect(await store.get('n')).toBe('2'))
})

test('a read whose connection ends is repeated', async () => {
  const store = storeWith({ maxConnections: 1 })
  await store.set('k', 'v')
  const lost = proxy.cutReplies({ after: 10 })
  expect(await store.get('k')).toBe('v')
  await lost
  proxy.cut()
  expect(await store.get('k')).toBe('v')
})

test('a late reply is never that of another call', async () => {
  const store = storeWith({ maxConnections: 2 })
  const keys = Array.from({ length: 20 }, (_, index) => `late:${index}`)
  await store.setMany(keys.map((key) => [key, key]))
  for (const key of keys.slice(0, 3)) {
    proxy.mute(true, 'replies')
    await expect(store.get(key)).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
    proxy.mute(false, 'replies')
    await Promise.all(
      keys.map(async (other) => {
        expect(await store.get(other)).toBe(other)
      }),
    )
  }
})

test('calls fail at once when nothing listens', async () => {
  const store = storeWith({ url: urlOf(await freePort()), timeout: 60_000 })
  const took = await runningTimeOf(() => store.get('k'))
  await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  await expect(store.set('k', 'v')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  expect(took).toBeLessThan(slackMs)
})

test('when the server is killed, calls settle, and nothing acknowledged is lost from a logged table', async () => {
  const options = { url: server.url, table: 'sessions', logged: true }
  await ensureTable(options)
  const store = storeWith(options)
  await store.set('k', 'v')
  const calls = Array.from({ length: 200 }, (_, index) => store.set(`k${index}`, 'v'))
  const outcomes = Promise.allSettled(calls)
  await server.crash()
  const acknowledged = (await outcomes).flatMap(({ status }, index) =>
    status === 'fulfilled' ? [`k${index}`] : [],
  )
  await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  await server.restart()
  await waitUntilSucceeds(async () => expect(await store.get('k')).toBe('v'))
  expect(await store.getMany(acknowledged)).toEqual(acknowledged.map(() => 'v'))
})

test('connections that an administrator ends are replaced', async () => {
  const store = storeWith({ maxConnections: 2 })
  await store.set('k', 'v')
  const admin = poolWith({ max: 1 })
  const end = () =>
    admin.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE application_name = 'stowage'`)
  for (let count = 0; count < 5; count++) {
    await end()
    expect(await store.get('k')).toBe('v')
  }
})

test('a pool of the application without a free connection', async () => {
  const pool = poolWith({ max: 1 })
  const store = storeWith({ pool })
  const client = await pool.connect()
  const took = await runningTimeOf(() => store.get('k'))
  expect(took).toBeLessThan(timeoutMs + slackMs)
  await expect(store.set('k', '1')).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  client.release()
  await store.set('k', '2')
  expect(await store.get('k')).toBe('2')
  expect(pool.waitingCount).toBe(0)
  expect(pool.idleCount).toBe(1)
})

test('a pool of the application with a connection whose transaction has failed', async () => {
  const pool = poolWith({ max: 1 })
  const store = storeWith({ pool })
  const client = await pool.connect()
  await client.query('BEGIN')
  await client.query('SELECT 1 / 0').catch(() => {})
  client.release()
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_REJECTED',
    message: expect.stringContaining('Roll it back'),
  })
})

test('a pool of the application with a connection whose transaction has not ended', async () => {
  const pool = poolWith({ max: 1 })
  const store = storeWith({ pool })
  const client = await pool.connect()
  await client.query('BEGIN')
  client.release()
  const uncommitted = {
    code: 'ERR_CACHE_REJECTED',
    message: expect.stringContaining('End it'),
  }
  await expect(store.set('uncommitted', '1')).rejects.toMatchObject(uncommitted)
  await pool.query('ROLLBACK')
  expect(await store.get('uncommitted')).toBeUndefined()
  // Its end is sent before the statement of the store.
  const other = await pool.connect()
  await other.query('BEGIN')
  const committed = other.query('COMMIT')
  other.release()
  await Promise.all([committed, store.set('committed', '1')])
})

test('a pool of the application whose role has a shorter statement_timeout', async () => {
  const pool = poolWith({ max: 1, options: '-c statement_timeout=1' })
  const store = storeWith({ pool })
  const entries = Array.from({ length: 1_000 }, (_, index) => [`k${index}`, 'v'.repeat(4_000)])
  await expect(store.setMany(entries as [string, string][])).rejects.toMatchObject({
    code: 'ERR_CACHE_TIMEOUT',
    message: expect.stringContaining('statement_timeout'),
  })
})

test('a pool of the application without a timeout: the server executes nothing after the deadline', async () => {
  const pool = poolWith({ max: 2 })
  const store = storeWith({ pool })
  await store.set('locked', 'before')
  const other = poolWith({ max: 1 })
  const client = await other.connect()
  await client.query('BEGIN')
  await client.query("SELECT FROM stowage_cache WHERE key = 'locked' FOR UPDATE")
  await expect(store.set('locked', 'late')).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  await waitUntilSucceeds(async () => {
    const { rowCount } = await client.query(
      "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
    )
    expect(rowCount).toBe(0)
  })
  await client.query('COMMIT')
  client.release()
  expect(await store.get('locked')).toBe('before')
})

test('a server without a free connection', async () => {
  const admin = poolWith({ max: 20 })
  await admin.query('CREATE ROLE app LOGIN')
  await admin.query('GRANT ALL ON stowage_cache TO app')
  const url = server.url.replace('postgres@', 'app@')
  // Connections that earlier tests have closed end a moment later.
  await waitUntilSucceeds(async () => {
    const { rowCount } = await admin.query(
      "SELECT FROM pg_stat_activity WHERE backend_type = 'client backend'",
    )
    expect(rowCount).toBe(1)
  })
  const others = poolWith({ connectionString: url, max: 9 })
  const taken = await Promise.all(Array.from({ length: 8 }, () => others.connect()))
  const release = () => {
    for (const client of taken.splice(0)) client.release(true)
  }
  // A pool waits for its clients when it ends.
  cleanups.push(release)
  const store = storeWith({ url })
  await expect(store.get('k')).rejects.toMatchObject({
    code: 'ERR_CACHE_UNAVAILABLE',
    message: expect.stringContaining('maxConnections'),
  })
  // It waits for a connection that becomes free before its deadline.
  const patientStore = storeWith({ url, timeout: '20s', maxConnections: 1 })
  const call = patientStore.set('k', 'v')
  release()
  await call
  expect(await patientStore.get('k')).toBe('v')
})

test('a call whose last attempt gets no connection rejects with the reason of the one before', async () => {
  const refusal = { message: 'sorry', severity: 'FATAL', code: '53300' }
  let attempts = 0
  const pool = {
    connect(callback: (error: unknown) => void) {
      if (++attempts === 1) callback(refusal)
    },
  }
  const store = storeWith({ pool: pool as never })
  await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_UNAVAILABLE' })
  expect(attempts).toBe(2)
})

test('close settles while the server is frozen', async () => {
  const store = postgres({ url: server.url, timeout: timeoutMs })
  await store.ping()
  server.kill('SIGSTOP')
  cleanups.push(() => server.kill('SIGCONT'))
  const calls = Promise.allSettled([store.get('a'), store.set('b', '1')])
  const took = await runningTimeOf(() => store.close())
  expect(took).toBeLessThan(3 * timeoutMs + slackMs)
  for (const outcome of await calls) {
    expect(outcome).toMatchObject({ reason: { code: 'ERR_CACHE_TIMEOUT' } })
  }
})
