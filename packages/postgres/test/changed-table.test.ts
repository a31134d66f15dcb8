import { ensureTable, type PostgresOptions, postgres } from '@stowage/postgres'
import { type PostgresDatabase, sharedPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'

let server: PostgresDatabase
let admin: pg.Pool
const table = 'stowage_cache'

beforeAll(async () => {
  server = await sharedPostgres()
  admin = new pg.Pool({ connectionString: server.url })
})
beforeEach(async () => {
  await admin.query(`DROP TABLE IF EXISTS ${table}`)
  await ensureTable({ url: server.url })
})
afterAll(async () => {
  await admin.end()
  await server.stop()
})

/** A store whose connections have prepared their statements. */
async function openStore(options: PostgresOptions = {}) {
  const place = options.pool === undefined ? { url: server.url } : {}
  const store = postgres({ ...place, timeout: '20s', maxConnections: 2, ...options })
  onTestFinished(() => store.close())
  await store.set('k', '1')
  await Promise.all([store.getMany(['k', 'l']), store.getWithTtl?.(['k']), store.increment('n', 1)])
  return store
}

const changeType = () => admin.query(`ALTER TABLE ${table} ALTER value TYPE varchar(100)`)

describe('when a column has changed its type, prepared statements are prepared again', () => {
  test('on the connections of the store', async () => {
    const store = await openStore()
    await changeType()
    expect(await store.getMany(['k', 'l'])).toEqual(['1', undefined])
    expect(await store.increment('n', 1)).toBe(2)
  })

  test('on all connections of a pool of the application', async () => {
    const max = 8
    const pool = new pg.Pool({ connectionString: server.url, max })
    onTestFinished(() => pool.end())
    const store = await openStore({ pool, preparedStatements: true, batching: false })
    const readAtOnce = () =>
      Promise.all(Array.from({ length: 2 * max }, () => store.getMany(['k', 'l'])))
    await readAtOnce()
    expect(pool.totalCount).toBe(max)
    await changeType()
    expect(await readAtOnce()).toEqual(Array(2 * max).fill(['1', undefined]))
  })
})

test.each([
  'DROP CONSTRAINT stowage_cache_pkey',
  'ALTER value TYPE int USING 1',
  'ALTER key TYPE bytea USING NULL',
  'RENAME value TO text',
])('a table that cannot be used any more is a coded error with its remedy: %s', async (change) => {
  const store = await openStore()
  await admin.query(`TRUNCATE ${table}`)
  await admin.query(`ALTER TABLE ${table} ${change}`)
  await expect(store.set('k', '2')).rejects.toMatchObject({
    code: 'ERR_CACHE_CONFIG',
    message: expect.stringContaining('tableStatements()'),
  })
})

test('a table that was dropped is created again with ensureTable', async () => {
  const store = await openStore({ ensureTable: 'create' })
  await admin.query(`DROP TABLE ${table}`)
  await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_CONFIG' })
  expect(await store.get('k')).toBeUndefined()
  await store.set('k', '2')
  expect(await store.get('k')).toBe('2')
})
