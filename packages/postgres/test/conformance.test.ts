import { isFullTier } from '@stowage/test-servers'
import pg from 'pg'
import { afterAll } from 'vitest'
import { conformTable } from './conform-table.ts'

// Shared by the stores: a new connection costs the server as much as a hundred statements.
let pool: pg.Pool | undefined
afterAll(() => pool?.end())

conformTable('an UNLOGGED table, on connections of the application', ({ url }) => {
  // The server ends before it.
  pool ??= new pg.Pool({ connectionString: url, max: 16 }).on('error', () => {})
  return { pool, preparedStatements: true }
})

if (isFullTier) {
  conformTable('a logged table, on connections of the store', ({ url }) => ({ url, logged: true }))
  conformTable('without sessions and prepared statements', ({ url }) => ({
    url,
    transactionPooling: true,
    maxConnections: 2,
    batching: false,
  }))
}
