import type { Executor } from '../connections/executor.ts'
import { type Statement, statement } from '../connections/statement.ts'

/** How much of `maxBytes` an eviction leaves. */
const targetShare = 0.85
/** Limits what a step deletes: one transaction may have written all of its rows. */
const maxEvictedShare = 0.5
/** Random pages from which the age of the rows of the table is estimated. */
const sampledPages = 256
/** The header of a row, its entry in the index, and the columns of fixed length. */
const bytesPerRow = 80
/** Keys of locks and limits, whose loss is more than a miss. */
const reserved = '~(lock|fence|limit|refresh):'

export interface EvictionState {
  /** The size of the rows that this pass over the table has left so far. */
  readonly bytes: number
  /** The transaction whose rows, and those of older ones, are deleted in this pass. */
  readonly horizon?: string | undefined
}

/**
 * Deletes the rows that were written, or touched, longest ago, if a pass over the table has found that it is too large: first
 * in, first out. Reads leave no trace in a table unless they write, and a write for each read would be most of the load. The
 * age of a row is that of its transaction, so that it needs no column. The rows are counted by the pass, because statistics
 * of the server are late: more would be deleted than necessary.
 */
export class Eviction {
  readonly #executor: Executor
  readonly #table: string
  readonly #maxBytes: number
  readonly #evict: Statement
  readonly #findHorizon: Statement

  constructor(executor: Executor, quotedTable: string, maxBytes: number) {
    this.#executor = executor
    this.#table = quotedTable
    this.#maxBytes = maxBytes
    this.#evict = evictStatement(quotedTable)
    this.#findHorizon = horizonStatement(quotedTable)
  }

  /** Whether the table may be too large: dead rows and free space count here. */
  async isLarge(): Promise<boolean> {
    const [row] = await this.#executor.run(tableSize, [this.#table])
    return Number(row?.[0]) > this.#maxBytes
  }

  /**
   * Makes a step of a pass.
   *
   * @param range the first page, and the first one after it, as row identifiers
   */
  async step(
    range: readonly [string, string],
    { bytes = 0, horizon }: Partial<EvictionState>,
  ): Promise<EvictionState> {
    const [row] = await this.#executor.run(this.#evict, [...range, horizon ?? null])
    return { bytes: bytes + Number(row?.[0]), horizon }
  }

  /** Ends a pass over so many pages. Resolves to the state for the next one. */
  async nextPass({ bytes }: EvictionState, pages: number): Promise<EvictionState> {
    if (bytes <= this.#maxBytes) return { bytes: 0 }
    const share = 1 - (this.#maxBytes * targetShare) / bytes
    const percent = Math.min(100, (100 * sampledPages) / Math.max(1, pages))
    const [row] = await this.#executor.run(this.#findHorizon, [`${percent}`, `${share}`])
    return { bytes: 0, horizon: row?.[0] ?? undefined }
  }
}

const tableSize = statement('SELECT pg_table_size($1::regclass)', { isRead: true })

function evictStatement(table: string): Statement {
  const size = (column: string) => `COALESCE(pg_column_size(t.${column}), 0)`
  // Otherwise a table with the name of a subquery would not be found.
  return statement(`WITH "all rows" AS MATERIALIZED (
      SELECT t.ctid AS id, age(t.xmin) AS age, t.key ~ '${reserved}' AS is_reserved,
        ${bytesPerRow} + ${size('key')} + ${size('value')} + ${size('bytes')} AS bytes
      FROM ${table} t WHERE t.ctid >= $1::tid AND t.ctid < $2::tid AND t.key <> ''
    ), "oldest rows" AS (
      SELECT id FROM "all rows" a WHERE NOT is_reserved AND age >= age($3::xid) ORDER BY age DESC
      LIMIT (SELECT ceil(${maxEvictedShare} * count(*)) FROM "all rows" a)
    ), locked AS (
      SELECT t.ctid FROM ${table} t WHERE t.ctid = ANY (ARRAY(SELECT id FROM "oldest rows"))
      FOR UPDATE SKIP LOCKED
    ), deleted AS (
      DELETE FROM ${table} t WHERE t.ctid = ANY (ARRAY(SELECT ctid FROM locked)) RETURNING t.ctid AS id
    )
    SELECT COALESCE(sum(a.bytes), 0) FROM "all rows" a LEFT JOIN deleted USING (id) WHERE deleted.id IS NULL`)
}

/** The transaction that has written the last one of the oldest rows. */
function horizonStatement(table: string): Statement {
  return statement(
    `WITH sample AS MATERIALIZED (SELECT t.xmin AS id FROM ${table} t TABLESAMPLE SYSTEM ($1::real))
    SELECT id FROM sample ORDER BY age(id) DESC
    OFFSET (SELECT floor($2::float8 * count(*)) FROM sample) LIMIT 1`,
    { isRead: true },
  )
}
