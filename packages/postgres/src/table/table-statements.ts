import { CacheError } from '@stowage/core'
import { isTableName, quoted, tableNameRule } from '../table-name.ts'

export interface TableDefinition {
  /** @default 'stowage_cache' */
  readonly table?: string | undefined
  /** Whether the table survives a crash of the server, as that of sessions must. @default false */
  readonly logged?: boolean | undefined
}

/**
 * Returns the statement that creates the table, for migrations.
 *
 * Most statements replace rows. The fill factor leaves some space in each page, so that PostgreSQL stores the new version of a
 * row beside the old one and changes no index (a HOT update). An index of `expires_at` would prevent that. The settings of
 * autovacuum make it free old versions early.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for an invalid name
 * @example
 * console.log(tableStatements({ table: 'sessions', logged: true }))
 */
export function tableStatements({
  table = 'stowage_cache',
  logged = false,
}: TableDefinition = {}): string {
  if (!isTableName(table)) {
    throw new CacheError('ERR_CACHE_CONFIG', `postgres: table must be ${tableNameRule}.`)
  }
  return `CREATE ${logged ? '' : 'UNLOGGED '}TABLE IF NOT EXISTS ${quoted(table)} (
  key text COLLATE "C" PRIMARY KEY,
  value text,
  bytes bytea,
  expires_at timestamptz NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
`
}
