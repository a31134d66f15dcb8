import { type Cache, CacheError } from '@stowage/core'
import { type ByteStore, type StoreOperation, wrapStore } from '@stowage/core/driver'
import { type CacheBackend, cacheOver } from '@stowage/core/internal'
import type { PostgresClient } from '../connections/client.ts'

/** A tag that a transaction invalidates counts as invalidated until then. */
export const maxTransactionMs = 60_000

/** A store that can be part of a transaction. */
export interface TransactionalStore {
  readonly '~within': (client: PostgresClient) => ByteStore
}

/** A bus that can announce keys as part of a transaction, also to this process, which does not know when it commits. */
export interface TransactionalBus {
  readonly '~within': (client: PostgresClient) => (keys: readonly string[]) => Promise<void>
}

/** What a cache does as part of a transaction. */
export type TransactionCache = Pick<
  Cache,
  | 'get'
  | 'getMany'
  | 'set'
  | 'setMany'
  | 'add'
  | 'increment'
  | 'touch'
  | 'delete'
  | 'deleteMany'
  | 'invalidateTags'
>

/**
 * Returns a cache whose calls are part of a transaction of the application: others see them exactly when it commits, and
 * never if it is rolled back. The commit also notifies the near caches that use a `postgresBus`, including that of this
 * process.
 *
 * Values that are loaded while the transaction changes the data are not stored: `remember` waits for its end to load a key
 * that was deleted, and of a value that it has begun to load, it stores nothing. For a value whose tags become known during
 * the load, that is so if the transaction ends within a minute.
 *
 * Await each call. Make them last: the keys are locked until the end of the transaction, and one that locks others
 * meanwhile may be ended by the server as a deadlock. After an error, roll back.
 *
 * @param cache over `postgres()`, on the same database
 * @param client of `pg`, which has begun a transaction
 * @throws CacheError `ERR_CACHE_UNSUPPORTED` if the store of the cache is another one, or wrapped, or its near cache has
 * another bus
 *
 * @example
 * import pg from 'pg'
 * const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'] })
 * const client = await pool.connect()
 * await client.query('BEGIN')
 * await client.query('UPDATE products SET price = 10 WHERE id = 7')
 * await within(cache, client).delete('product:7')
 * await client.query('COMMIT')
 * client.release()
 */
export function within(cache: Cache, client: PostgresClient): TransactionCache {
  return cacheOver(cache, (backend) => storeOf(backend, client))
}

function storeOf({ store, bus, invalidateLoads }: CacheBackend, client: PostgresClient): ByteStore {
  if (!isTransactional<TransactionalStore>(store)) {
    throw unsupported('The store of the cache must be postgres() itself')
  }
  if (bus !== undefined && !isTransactional<TransactionalBus>(bus)) {
    throw unsupported('The bus of the near cache must be a postgresBus() on the same database')
  }
  const announce = bus?.['~within'](client)
  return wrapStore(store['~within'](client), (operation, call, args) => {
    const keys = writtenKeys(operation, args)
    if (keys.length === 0) return call()
    for (const key of keys) invalidateLoads(key)
    return announce === undefined ? call() : announced(call, () => announce(keys))
  })
}

/** By the member: the application may have two copies of this package. */
function isTransactional<T extends TransactionalStore | TransactionalBus>(part: object): part is T {
  return '~within' in part
}

async function announced<T>(
  call: () => T | PromiseLike<T>,
  announce: () => Promise<void>,
): Promise<T> {
  const [result] = await Promise.all([call(), announce()])
  return result
}

function writtenKeys(operation: StoreOperation, [first]: readonly unknown[]): readonly string[] {
  switch (operation) {
    case 'set':
    case 'add':
    case 'compareAndSet':
    case 'increment':
    case 'touch':
    case 'delete':
      return [first as string]
    case 'deleteMany':
      return first as readonly string[]
    case 'setMany':
      return (first as readonly (readonly [string, unknown])[]).map(([key]) => key)
    default:
      return []
  }
}

function unsupported(problem: string): CacheError {
  return new CacheError('ERR_CACHE_UNSUPPORTED', `postgres within failed: ${problem}.`, {
    store: 'postgres',
    operation: 'within',
  })
}
