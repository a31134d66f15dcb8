import { inspect } from 'node:util'
import { Cache, CacheError } from '@stowage/core'
import type { ByteStore } from '@stowage/core/driver'
import { ensureTable, type PostgresOptions, type PostgresPool, postgres } from '@stowage/postgres'
import { type PostgresDatabase, sharedPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'

let server: PostgresDatabase
let admin: pg.Pool
const cleanups: (() => Promise<unknown>)[] = []
const table = 'stowage_cache'
const timeout = '20s'

beforeAll(async () => {
  server = await sharedPostgres()
  admin = new pg.Pool({ connectionString: server.url })
  await ensureTable({ url: server.url })
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  await admin.query(`DELETE FROM ${table}`)
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})

function storeWith(options: PostgresOptions = {}) {
  // A sweep, which begins at any time within its interval, would be among the statements that a pool counts.
  const place = options.pool === undefined ? { url: server.url } : { sweepInterval: '20d' as const }
  const store = postgres({ ...place, timeout, ...options })
  cleanups.push(() => store.close())
  return store
}

/** Counts the statements of a store. */
function countingPool() {
  const pool = new pg.Pool({ connectionString: server.url })
  cleanups.push(() => pool.end())
  const texts: string[] = []
  const counting = {
    connect: ((callback) =>
      pool.connect((error, client) => {
        const query = (config: pg.QueryConfig, done: () => void) => {
          texts.push(config.text)
          Reflect.apply(pg.Client.prototype.query, client, [config, done])
        }
        callback(error, client && (Object.assign(client, { query }) as never))
      })) satisfies PostgresPool['connect'],
  }
  return { counting, texts }
}

describe('what is stored', () => {
  test('text is readable, and bytes are not changed', async () => {
    const store = storeWith()
    const bytes = Uint8Array.of(0xff, 0, 0x7f)
    await Promise.all([store.set('json', '{"a":1}'), store.set('bytes', bytes, 60_000)])
    const { rows } = await admin.query(
      `SELECT key, value, bytes, expires_at = 'infinity' AS forever FROM ${table} ORDER BY key`,
    )
    expect(rows).toEqual([
      { key: 'bytes', value: null, bytes: Buffer.from(bytes), forever: false },
      { key: 'json', value: '{"a":1}', bytes: null, forever: true },
    ])
    expect(await store.get('bytes')).toEqual(Buffer.from(bytes))
  })

  test('a value is equal to itself as text and as bytes', async () => {
    const store = storeWith()
    await store.set('k', 'äöü')
    expect(await store.compareAndSet('k', Buffer.from('äöü'), Buffer.from('next'))).toBe(true)
    expect(await store.compareAndSet('k', 'next', undefined)).toBe(true)
  })

  test.each([1, Number.MAX_SAFE_INTEGER])('a ttl of %i ms', async (ttl) => {
    await storeWith().set('k', 'v', ttl)
    const { rows } = await admin.query(`SELECT expires_at > now() + '1y' AS late FROM ${table}`)
    expect(rows).toEqual([{ late: ttl > 1 }])
  })

  test('keys with NUL and U+0001 are different', async () => {
    const store = storeWith()
    const keys = ['a\0', 'a\x01', 'a\x01\x01', 'a\x01\x02', 'a']
    await store.setMany(keys.map((key, index) => [key, `${index}`]))
    expect(await store.getMany(keys)).toEqual(['0', '1', '2', '3', '4'])
    const found: string[] = []
    for await (const page of store.scan?.('a\x01') ?? []) found.push(...page)
    expect(found.sort()).toEqual(['a\x01', 'a\x01\x01', 'a\x01\x02'])
  })

  test('an error contains neither keys nor values', async () => {
    const store = storeWith()
    await store.set('secret-key', 'secret-value')
    const increment = await Promise.resolve(store.increment('secret-key', 1)).catch((e) => e)
    expect(increment).toMatchObject({ code: 'ERR_CACHE_REJECTED' })
    // The server quotes the whole row.
    await admin.query(`ALTER TABLE ${table} ADD CONSTRAINT plain CHECK (value <> 'secret-other')`)
    const set = await Promise.resolve(store.set('secret-key', 'secret-other')).catch((e) => e)
    await admin.query(`ALTER TABLE ${table} DROP CONSTRAINT plain`)
    await admin.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN RAISE 'refused: %', NEW; END $$`)
    await admin.query(`CREATE TRIGGER refuse BEFORE INSERT ON ${table} FOR EACH ROW
      WHEN (NEW.key LIKE 'secret%') EXECUTE FUNCTION refuse()`)
    const [refused, other] = await Promise.allSettled([
      store.set('secret-key', 'secret-other'),
      store.set('other', '1'),
    ])
    await admin.query('DROP FUNCTION refuse CASCADE')
    expect(other).toMatchObject({ status: 'fulfilled' })
    const { reason } = refused as PromiseRejectedResult
    expect(set).toBeInstanceOf(CacheError)
    // The key is a property that is not enumerable.
    for (const error of [increment, set, reason])
      expect(inspect(error, { depth: Infinity }) + JSON.stringify(error)).not.toContain('secret')
  })
})

describe('statements', () => {
  test('the calls of a turn that do the same are one', async () => {
    const { counting, texts } = countingPool()
    const store = storeWith({ pool: counting })
    const keys = Array.from({ length: 100 }, (_, index) => `key:${index}`)
    const each = async (call: (key: string) => unknown) => {
      texts.length = 0
      await Promise.all(keys.map(call))
      return texts.length
    }
    // Two, on two connections, so that client and server work at the same time.
    expect(await each((key) => store.set(key, '1'))).toBeLessThanOrEqual(2)
    expect(await each((key) => store.get(key))).toBeLessThanOrEqual(2)
    expect(await each((key) => store.add(key, '2'))).toBe(1)
    expect(await each((key) => store.increment(key, 1))).toBe(1)
    expect(await each((key) => store.compareAndSet(key, '2', '3', 60_000))).toBe(1)
    expect(await each((key) => store.touch(key, 60_000))).toBe(1)
    expect(await each((key) => store.compareAndSet(key, '3', undefined))).toBe(1)
    expect(await each((key) => store.delete(key))).toBe(1)
    expect(await store.getMany(keys)).toEqual(keys.map(() => undefined))
  })

  test('the increments of a key in a turn are one, and so are its adds', async () => {
    const { counting, texts } = countingPool()
    const store = storeWith({ pool: counting })
    const count = 50
    const sums = await Promise.all(Array.from({ length: count }, () => store.increment('n', 2)))
    expect(sums).toEqual(Array.from({ length: count }, (_, index) => 2 * (index + 1)))
    const added = await Promise.all(Array.from({ length: count }, (_, i) => store.add('a', `${i}`)))
    expect(added).toEqual([true, ...Array(count - 1).fill(false)])
    expect(texts).toHaveLength(2)
    expect(await store.get('a')).toBe('0')
  })

  test('of increments that overflow together, those before the overflow succeed', async () => {
    const store = storeWith()
    await store.set('n', String(Number.MAX_SAFE_INTEGER - 2))
    const outcomes = await Promise.allSettled([1, 1, 1].map((by) => store.increment('n', by)))
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected'])
    const mixed = await Promise.allSettled([1, -5, 3].map((by) => store.increment('n', by)))
    expect(mixed.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled'])
    expect(await store.get('n')).toBe(String(Number.MAX_SAFE_INTEGER - 2))
  })

  /** Stores two items, and runs `work` while another transaction has locked the row of one. */
  async function withLockedRow(store: ByteStore, work: () => Promise<void>): Promise<void> {
    await store.setMany([
      ['locked', '1'],
      ['free', '1'],
    ])
    const client = await admin.connect()
    try {
      await client.query('BEGIN')
      await client.query(`UPDATE ${table} SET value = 'x' WHERE key = 'locked'`)
      await work()
    } finally {
      await client.query('ROLLBACK')
      client.release()
    }
  }

  test('a row that another transaction has locked delays its own key only', async () => {
    const store = storeWith({ timeout: '3s' })
    await withLockedRow(store, async () => {
      const outcomes = await Promise.allSettled([store.set('locked', '2'), store.set('free', '2')])
      expect(outcomes).toEqual([
        { status: 'rejected', reason: expect.objectContaining({ code: 'ERR_CACHE_TIMEOUT' }) },
        { status: 'fulfilled', value: undefined },
      ])
      expect(await store.getMany(['locked', 'free'])).toEqual(['1', '2'])
    })
  })

  test.each([
    ['of the store', {}, 'fulfilled'],
    ['of the application, with a lock_timeout', { options: '-c lock_timeout=500' }, 'fulfilled'],
    ['of the application, without one', { options: '-c lock_timeout=0' }, 'rejected'],
  ])('a batch with a locked row, on a pool %s', async (name, config, free) => {
    const pool = new pg.Pool({ connectionString: server.url, ...config }).on('error', () => {})
    cleanups.push(() => pool.end())
    const store = storeWith({ timeout: '3s', ...(name !== 'of the store' && { pool }) })
    await withLockedRow(store, async () => {
      const outcomes = await Promise.allSettled([store.delete('locked'), store.delete('free')])
      expect(outcomes.map(({ status }) => status)).toEqual(['rejected', free])
    })
  })

  test('a client that throws rejects the call, and its connection is closed', async () => {
    const pool = new pg.Pool({ connectionString: server.url, max: 1 })
    cleanups.push(() => pool.end())
    const error = new TypeError('thrown by a tool for tracing')
    const query = vi.spyOn(pg.Client.prototype, 'query').mockImplementationOnce(() => {
      throw error
    })
    const store = storeWith({ pool })
    await expect(store.set('k', 'v')).rejects.toMatchObject({
      code: 'ERR_CACHE_UNAVAILABLE',
      message: expect.stringContaining(error.message),
    })
    query.mockRestore()
    expect(pool.totalCount).toBe(0)
    expect(await store.get('k')).toBeUndefined()
  })

  test('a plan that was made for a few rows does not read all of a large table', async () => {
    const plans = { url: server.url, table: 'plans' }
    await ensureTable(plans)
    const store = storeWith({ ...plans, maxConnections: 1 })
    await store.set('k1', 'v')
    await admin.query('ANALYZE plans')
    // The server keeps the plan of the sixth execution.
    for (let count = 0; count < 10; count++) await store.getMany(['k1', 'k2'])
    await admin.query(`INSERT INTO plans SELECT 'k' || n, 'v', NULL, 'infinity'
      FROM generate_series(2, 20000) n`)
    await store.getMany(['k1', 'k2'])
    await store.close()
    // The server writes the statistics of a connection when it ends.
    await vi.waitFor(
      async () => {
        const { rows } = await admin.query(`SELECT idx_scan::int AS found, seq_tup_read::int AS read
          FROM pg_stat_user_tables WHERE relname = 'plans'`)
        expect(rows[0].found).toBeGreaterThan(10)
        expect(rows[0].read).toBe(0)
      },
      { timeout: 10_000 },
    )
  })
})

describe('the table', () => {
  const name = 'other'
  const drop = () => admin.query(`DROP TABLE IF EXISTS ${name}`)
  afterEach(drop)

  test('is created by several processes at the same moment', async () => {
    const stores = Array.from({ length: 8 }, () =>
      storeWith({ table: name, ensureTable: 'create', maxConnections: 1 }),
    )
    await Promise.all(stores.map((store, index) => store.set(`k${index}`, 'v')))
    const { rows } = await admin.query(`SELECT count(*)::int AS count FROM ${name} WHERE key <> ''`)
    expect(rows).toEqual([{ count: 8 }])
  })

  test('that is missing is an error with the remedy', async () => {
    const missing = storeWith({ table: name })
    await expect(missing.get('k')).rejects.toMatchObject({
      code: 'ERR_CACHE_CONFIG',
      message: expect.stringContaining("ensureTable: 'create'"),
    })
    await expect(storeWith({ table: name, ensureTable: 'verify' }).get('k')).rejects.toMatchObject({
      code: 'ERR_CACHE_CONFIG',
      message: expect.stringContaining(`CREATE UNLOGGED TABLE IF NOT EXISTS "${name}"`),
    })
  })

  test.each([
    ['CREATE TABLE other (sid text PRIMARY KEY)', 'has other columns'],
    [
      'CREATE UNLOGGED TABLE other (key text PRIMARY KEY, value text, bytes bytea, expires_at timestamptz)',
      'has other columns',
    ],
    [
      'CREATE TABLE other (key text COLLATE "C" PRIMARY KEY, value text, bytes bytea, expires_at timestamptz)',
      'is logged, and the option logged is false',
    ],
  ])('%s is not used', async (statement, problem) => {
    await admin.query(statement)
    const store = storeWith({ table: name, ensureTable: 'create' })
    await expect(store.get('k')).rejects.toMatchObject({
      code: 'ERR_CACHE_CONFIG',
      message: expect.stringContaining(problem),
    })
  })

  test('in a schema', async () => {
    await admin.query('CREATE SCHEMA app')
    const cache = new Cache(storeWith({ table: 'app.cache', ensureTable: 'create', logged: true }))
    await cache.set('k', { n: 1 })
    expect(await cache.get('k')).toEqual({ n: 1 })
    await admin.query('DROP SCHEMA app CASCADE')
  })

  test('the error names the privilege that a role lacks', async () => {
    await admin.query('CREATE ROLE guest LOGIN')
    const url = server.url.replace('postgres@', 'guest@')
    await expect(storeWith({ url }).get('k')).rejects.toMatchObject({
      code: 'ERR_CACHE_CONFIG',
      message: expect.stringContaining('GRANT SELECT'),
    })
    await admin.query('DROP ROLE guest')
  })
})
