export type {
  PostgresClient,
  PostgresPool,
  PostgresPoolClient,
  QueryConfig,
} from './connections/client.ts'
export type { Parameter } from './connections/statement.ts'
export { type PostgresBusOptions, postgresBus } from './invalidation/postgres-bus.ts'
export { default, ensureTable, postgres } from './postgres-driver.ts'
export type { PostgresOptions, TableMode } from './postgres-options.ts'
export { type TableDefinition, tableStatements } from './table/table.ts'
export { type TransactionCache, within } from './transactions/within.ts'
