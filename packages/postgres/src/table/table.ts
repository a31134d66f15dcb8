import { CacheError } from '@stowage/core'
import type { Executor } from '../connections/executor.ts'
import { type Statement, statement } from '../connections/statement.ts'
import { sqlState } from '../postgres-errors.ts'
import type { ResolvedPostgresOptions, TableMode } from '../postgres-options.ts'
import { isTableName, quoted, tableNameRule } from '../table-name.ts'

/** Another process has created the table at the same moment: duplicate object, relation or entry of a catalog. */
const duplicateStates: ReadonlySet<string | undefined> = new Set(['42710', '42P07', '23505'])

const expectedColumns = 'key text C, value text, bytes bytea, expires_at timestamp with time zone'

/** One row if the table exists: whether it is logged, the encoding of the database, its columns and its primary key. */
export const describeTable: Statement = statement(
  `SELECT c.relpersistence, current_setting('server_encoding'),
    (SELECT string_agg(
        a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
          || CASE WHEN l.collname = 'C' THEN ' C' ELSE '' END, ', ' ORDER BY a.attnum)
      FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
    (SELECT string_agg(a.attname, ', ') FROM pg_index i
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
      WHERE i.indrelid = c.oid AND i.indisprimary)
  FROM pg_class c WHERE c.oid = to_regclass($1)`,
  { isRead: true },
)

/**
 * Checks that the table exists, and that it is as the store needs it. `'create'` creates a missing one, and changes
 * nothing else.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` with what is wrong, and the statement that creates a valid table
 */
export async function prepareTable(
  executor: Executor,
  options: ResolvedPostgresOptions,
  mode: Exclude<TableMode, 'off'>,
): Promise<void> {
  let problem = await tableProblem(executor, options)
  if (problem === missingTable && mode === 'create') {
    await create(executor, options)
    problem = await tableProblem(executor, options)
  }
  if (problem === undefined) return
  throw new CacheError(
    'ERR_CACHE_CONFIG',
    `postgres ensureTable failed: the table "${options.table}" ${problem}. A valid table is created by ` +
      `ensureTable: 'create', or by\n${tableStatements(options)}`,
    { store: 'postgres', operation: 'ensureTable' },
  )
}

/** The {@link tableProblem} that creating the table solves. */
export const missingTable = 'does not exist'

/** What is wrong with the table, as the continuation of a sentence that begins with it. */
export async function tableProblem(
  executor: Executor,
  { quotedTable, logged }: ResolvedPostgresOptions,
): Promise<string | undefined> {
  const [row] = await executor.run(describeTable, [quotedTable])
  if (row === undefined) return missingTable
  const [persistence, encoding, columns, primaryKey] = row
  if (columns !== expectedColumns || primaryKey !== 'key') return 'has other columns'
  if (encoding !== 'UTF8') return `is in a database with the encoding ${encoding} instead of UTF8`
  const isLogged = persistence === 'p'
  if (isLogged === logged) return undefined
  return isLogged
    ? 'is logged, and the option logged is false'
    : 'is UNLOGGED, and the option logged is true'
}

async function create(executor: Executor, options: ResolvedPostgresOptions): Promise<void> {
  try {
    await executor.run(statement(tableStatements(options)), [])
  } catch (error) {
    if (sqlState(error) === '42501') throw forbidden(options, error)
    if (!duplicateStates.has(sqlState(error))) throw error
  }
}

/** Since PostgreSQL 15, roles may not create tables in the schema `public`. */
function forbidden(options: ResolvedPostgresOptions, cause: unknown): CacheError {
  return new CacheError(
    'ERR_CACHE_CONFIG',
    `postgres ensureTable failed: the role may not create the table "${options.table}". Grant it: ` +
      `GRANT CREATE ON SCHEMA <schema> TO <role>, or execute as another role:\n${tableStatements(options)}`,
    { store: 'postgres', operation: 'ensureTable', cause },
  )
}

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
