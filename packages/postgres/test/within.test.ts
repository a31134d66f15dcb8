import { Cache, type CacheOptions, withTimeout } from '@stowage/core'
import { Deferred } from '@stowage/core/internal'
import { memory } from '@stowage/memory'
import {
  ensureTable,
  postgres,
  postgresBus,
  type TransactionCache,
  within,
} from '@stowage/postgres'
import { type PostgresDatabase, sharedPostgres } from '@stowage/test-servers'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'

let database: PostgresDatabase
let pool: pg.Pool
const cleanups: (() => unknown)[] = []
const until = (assertion: () => unknown) => vi.waitFor(assertion, { timeout: 60_000 })

beforeAll(async () => {
  database = await sharedPostgres()
  pool = new pg.Pool({ connectionString: database.url, max: 20 }).on('error', () => {})
  await ensureTable({ pool })
  await pool.query('CREATE TABLE products (id int PRIMARY KEY, price int)')
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  await pool.query('TRUNCATE stowage_cache, products')
  await pool.query('INSERT INTO products VALUES (7, 1)')
})
afterAll(async () => {
  await pool.end()
  await database.stop()
})

/** A cache as in a process of its own. */
function openCache(options: CacheOptions = {}): Cache {
  const store = postgres({ url: database.url, timeout: '20s', maxConnections: 2 })
  const cache = new Cache(store, { prefix: 'shop:', ...options })
  cleanups.push(() => cache.close())
  return cache
}

/** Begins a transaction. It is rolled back after the test, unless it has ended. */
async function begin() {
  const client = await pool.connect()
  await client.query('BEGIN')
  let hasEnded = false
  const end = async (statement: 'COMMIT' | 'ROLLBACK') => {
    if (hasEnded) return
    hasEnded = true
    await client.query(statement)
    client.release()
  }
  cleanups.push(() => end('ROLLBACK'))
  return { client, commit: () => end('COMMIT'), rollback: () => end('ROLLBACK') }
}

async function readPrice(): Promise<number> {
  return (await pool.query('SELECT price FROM products WHERE id = 7')).rows[0].price
}

/** Makes each kind of change. */
async function changeAll(cache: TransactionCache): Promise<void> {
  expect(await cache.get('deleted')).toBe(1)
  expect(await cache.delete('deleted')).toBe(true)
  expect(await cache.delete('missing')).toBe(false)
  expect(await cache.deleteMany(['missing', 'deleted too'])).toBe(1)
  await cache.set('set', 2)
  await cache.setMany([['set too', 2]], { ttl: '1h' })
  expect(await cache.add('added', 2)).toBe(true)
  expect(await cache.increment('counter', 2)).toBe(3)
  await cache.invalidateTags(['tag'])
  expect(await cache.getMany(['deleted', 'set', 'counter'])).toEqual([undefined, 2, 3])
}

const before = {
  deleted: 1,
  missing: undefined,
  'deleted too': 1,
  set: 1,
  'set too': 1,
  added: undefined,
  counter: 1,
  tagged: 1,
}
const after = {
  ...{ deleted: undefined, missing: undefined, 'deleted too': undefined, set: 2 },
  ...{ 'set too': 2, added: 2, counter: 3, tagged: undefined },
}

async function readAll(cache: Cache) {
  const keys = Object.keys(before)
  const values = await cache.getMany(keys)
  return Object.fromEntries(keys.map((key, index) => [key, values[index]]))
}

test.each([
  ['commit', after],
  ['rollback', before],
] as const)('what a transaction changes is seen after its %s', async (end, expected) => {
  const [cache, other] = [openCache(), openCache()]
  await cache.setMany(
    ['deleted', 'deleted too', 'set', 'set too', 'counter'].map((key) => [key, 1]),
  )
  await cache.set('tagged', 1, { tags: ['tag'] })
  const transaction = await begin()
  await changeAll(within(cache, transaction.client))
  expect(await readAll(cache)).toEqual(before)
  expect(await readAll(other)).toEqual(before)
  await transaction[end]()
  expect(await readAll(cache)).toEqual(expected)
  expect(await readAll(other)).toEqual(expected)
})

test('calls of a turn take effect in order, in the namespace of the cache', async () => {
  const cache = openCache().namespace('names', { ttl: '1h' })
  const transaction = await begin()
  const changes = within(cache, transaction.client)
  await Promise.all([changes.set('k', 1), changes.delete('k'), changes.set('k', 2)])
  await Promise.all([changes.set('l', 1), changes.delete('l')])
  await transaction.commit()
  expect(await cache.getMany(['k', 'l'])).toEqual([2, undefined])
  const { rows } = await pool.query(`SELECT expires_at < now() + interval '2 h' AS has_ttl
    FROM stowage_cache WHERE key = 'shop:names:k'`)
  expect(rows).toEqual([{ has_ttl: true }])
})

test.each([true, false])(
  'a value is not loaded until the change commits: cached %s',
  async (isCached) => {
    const [cache, other] = [openCache(), openCache()]
    const load = vi.fn(readPrice)
    if (isCached) await cache.set('price', 1)
    const transaction = await begin()
    await transaction.client.query('UPDATE products SET price = 2 WHERE id = 7')
    await within(cache, transaction.client).delete('price')
    const reads = [cache, other].map((each) => each.remember('price', { ttl: '1h' }, load))
    if (isCached) expect(await Promise.all(reads)).toEqual([1, 1])
    else {
      // Until both wait for the transaction.
      await until(async () => {
        const { rows } = await pool.query(`SELECT count(*)::int AS count FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'`)
        expect(rows[0].count).toBe(2)
      })
      expect(load).not.toHaveBeenCalled()
    }
    await transaction.commit()
    await Promise.all(reads)
    expect(await other.remember('price', { ttl: '1h' }, load)).toBe(2)
    expect(await cache.get('price')).toBe(2)
  },
)

test.each([
  ['before the key is deleted', []],
  ['after its tag is invalidated', ['products']],
] as const)(
  'a value whose load began %s, and before the commit, is not stored',
  async (_, tags) => {
    const [cache, other] = [openCache(), openCache()]
    const isRead = new Deferred<void>()
    const mayReturn = new Deferred<void>()
    const slowLoad = async () => {
      const price = await readPrice()
      isRead.resolve()
      await mayReturn.promise
      return price
    }
    // The tags become known with the value.
    const options = { ttl: '1h', tags: () => tags } as const
    await cache.set('other', 1, { tags: ['products'] })
    const transaction = await begin()
    await transaction.client.query('UPDATE products SET price = 2 WHERE id = 7')
    const changes = within(cache, transaction.client)
    if (tags.length > 0) await changes.invalidateTags(tags)
    // Reads the old price, because the change has not been committed.
    const reads = [cache, other].map((each) => each.remember('price', options, slowLoad))
    await isRead.promise
    if (tags.length === 0) await changes.delete('price')
    await transaction.commit()
    mayReturn.resolve()
    await Promise.all(reads)
    expect(await other.remember('price', options, readPrice)).toBe(2)
  },
)

test('near caches drop what a transaction has changed when it commits', async () => {
  const near = () => ({ near: { ttl: 3_600_000, bus: () => postgresBus({ url: database.url }) } })
  const caches = [openCache(near()), openCache(near())] as const
  const [cache] = caches
  await cache.setMany(['k', 'l'].map((key) => [key, 1]))
  const readHits = async (key: string) =>
    Promise.all(
      caches.map(async (each) => {
        const { hits = 0 } = each.near?.stats ?? {}
        const value = await each.get(key)
        return { value, isHit: each.near?.stats.hits === hits + 1 }
      }),
    )
  const areHits = [1, 1].map((value) => ({ value, isHit: true }))
  await until(async () => expect(await readHits('k')).toEqual(areHits))
  const rolledBack = await begin()
  await within(cache, rolledBack.client).set('k', 2)
  await rolledBack.rollback()
  const transaction = await begin()
  await within(cache, transaction.client).set('k', 3)
  expect(await readHits('k')).toEqual(areHits)
  await transaction.commit()
  await until(async () => {
    expect((await readHits('k')).map(({ value }) => value)).toEqual([3, 3])
  })
})

test('calls pass a statement to the client only when it has executed the one before', async () => {
  const cache = openCache({ near: { bus: () => postgresBus({ url: database.url }) } })
  const { client, commit } = await begin()
  const query = client.query.bind(client) as (config: unknown, callback: () => void) => void
  const open: number[] = []
  let running = 0
  const counted = (config: unknown, callback: (...reply: unknown[]) => void) => {
    open.push(++running)
    query(config, (...reply: unknown[]) => {
      running--
      callback(...reply)
    })
  }
  const counting = Object.assign(Object.create(client), { query: counted })
  const [first, second] = [within(cache, counting), within(cache, counting)]
  await first.invalidateTags(['a', 'b'])
  await Promise.all([first.set('k', 1, { tags: ['a', 'c'] }), second.delete('l'), first.get('k')])
  await commit()
  expect(open.length).toBeGreaterThan(6)
  expect(new Set(open)).toEqual(new Set([1]))
  expect(await cache.get('k')).toBe(1)
})

test('after an error, the calls of a transaction reject with its reason', async () => {
  const cache = openCache()
  await cache.set('text', 'a')
  const transaction = await begin()
  const changes = within(cache, transaction.client)
  // The server has not raised it.
  await expect(changes.increment('text')).rejects.toMatchObject({ code: 'ERR_CACHE_REJECTED' })
  await changes.set('k', 1)
  const holder = await begin()
  await within(cache, holder.client).set('held', 1)
  await transaction.client.query("SET LOCAL lock_timeout = '100ms'")
  const outcomes = await Promise.allSettled([changes.delete('held'), changes.delete('free')])
  const timeout = { status: 'rejected', reason: { code: 'ERR_CACHE_TIMEOUT' } }
  expect(outcomes).toMatchObject([timeout, timeout])
  await expect(changes.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_TIMEOUT' })
  await transaction.rollback()
  expect(await cache.get('k')).toBeUndefined()
})

test('a client that has not begun a transaction is an error, because its changes are committed at once', async () => {
  const cache = openCache()
  const client = await pool.connect()
  cleanups.push(() => client.release())
  await expect(within(cache, client).set('k', 1)).rejects.toMatchObject({
    code: 'ERR_CACHE_REJECTED',
    message: expect.stringContaining('BEGIN'),
  })
  // The statements of a client are executed in order, so that these need not be awaited.
  const begun = client.query('BEGIN')
  await within(cache, client).set('l', 1)
  await Promise.all([begun, client.query('COMMIT')])
  expect(await cache.get('l')).toBe(1)
})

test.each([
  ['a pool', () => pool],
  ['nothing', () => undefined],
])('%s instead of a client is an error', async (_, notClient) => {
  expect(() => within(openCache(), notClient() as never)).toThrow(TypeError)
})

test('a client whose connection was lost, or closed, is an error', async () => {
  const cache = openCache()
  const unavailable = { code: 'ERR_CACHE_UNAVAILABLE' }
  const lost = new pg.Client(database.url).on('error', () => {})
  await lost.connect()
  await lost.query('BEGIN')
  const { rows } = await lost.query('SELECT pg_backend_pid() AS pid')
  await pool.query('SELECT pg_terminate_backend($1)', [rows[0].pid])
  const changes = within(cache, lost)
  for (const call of [changes.set('k', 1), changes.delete('k')]) {
    await expect(call).rejects.toMatchObject(unavailable)
  }
  const closed = new pg.Client(database.url)
  await closed.connect()
  await closed.end()
  await expect(within(cache, closed).set('k', 1)).rejects.toMatchObject(unavailable)
})

test('a cache whose store or bus cannot be part of it is refused', async () => {
  const { client } = await begin()
  const code = 'ERR_CACHE_UNSUPPORTED'
  const refused = (cache: Cache) =>
    expect(() => within(cache, client)).toThrow(expect.objectContaining({ code }))
  refused(new Cache(memory()))
  refused(new Cache(withTimeout(postgres({ pool, timeout: '20s' }), '1s')))
  const bus = {
    connected: true,
    publish: () => {},
    subscribe: async () => () => {},
    close: async () => {},
  }
  refused(openCache({ near: { bus } }))
})
