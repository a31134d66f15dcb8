import { type Statement, statement } from '../connections/statement.ts'

/** The key of the row in which the sweep keeps its state. No item has an empty key. */
export const sweepKey = ''

const isAlive = 't.expires_at > clock_timestamp()'
const bytesAsHex = "encode(t.bytes, 'hex')"
/** The columns of a payload, and its remaining ttl in milliseconds, `null` if it does not expire. */
const remainingMs = `CASE WHEN t.expires_at = 'infinity' THEN NULL
  ELSE ceil(extract(epoch FROM t.expires_at - clock_timestamp()) * 1000) END`
/** Of the clock of the server, when the row is written. */
const expiry = (ttl: string) =>
  `COALESCE(clock_timestamp() + ${ttl} * interval '1 millisecond', 'infinity')`

/**
 * Whether a stored text is a safe integer that the sum leaves one. CASE, because the order of AND is not defined, and a
 * cast of another text is an error.
 */
const canAdd = `CASE WHEN t.value ~ '^(0|-?[1-9][0-9]{0,15})$'
  THEN abs(t.value::bigint) <= 9007199254740991
    AND abs(t.value::bigint + excluded.value::bigint) <= 9007199254740991
  ELSE false END`

/** The statements of a table. Each executes a batch: every array has an element for each call. */
export interface ItemStatements {
  /** One key. */
  readonly get: Statement
  readonly getMany: Statement
  readonly getWithTtl: Statement
  readonly set: Statement
  readonly add: Statement
  readonly compareAndSet: Statement
  readonly compareAndDelete: Statement
  readonly increment: Statement
  readonly touch: Statement
  readonly delete: Statement
  readonly scan: Statement
  readonly clear: Statement
  readonly time: Statement
  readonly ping: Statement
}

/**
 * Statements for a transaction of the application. A key that has no row gets an expired one when it is deleted: a process
 * that is about to load its value waits for the end of the transaction. Otherwise it could store, before the commit, the old
 * value of what the transaction changes.
 *
 * @param latestEndMs the time within which the transaction ends
 */
export function transactionStatements(table: string, latestEndMs: number): ItemStatements {
  return {
    ...itemStatements(table),
    delete: statement(`WITH found AS MATERIALIZED (
        SELECT t.key, ${isAlive} AS is_alive
        FROM ${table} t WHERE t.key = ANY ($1::text[]) ORDER BY t.key FOR UPDATE
      )
      INSERT INTO ${table} AS t (key, expires_at)
      SELECT i.key, '-infinity' FROM unnest($1::text[]) i (key) LEFT JOIN found ON found.key = i.key
      ORDER BY i.key COLLATE "C"
      ON CONFLICT (key) DO UPDATE SET value = NULL, bytes = NULL, expires_at = excluded.expires_at
      RETURNING t.key, (SELECT f.is_alive FROM found f WHERE f.key = t.key)`),
    // A version of a tag must not be older than what the transaction changes.
    time: statement(`SELECT extract(epoch FROM clock_timestamp()) * 1000 + ${latestEndMs}`),
  }
}

/**
 * No two calls of a batch may have the same key. Every statement locks rows in the order of their keys, because two that
 * lock rows in different orders can block each other. Where the planner chooses the order, `locked` locks them first.
 *
 * @param table a quoted name
 */
export function itemStatements(table: string): ItemStatements {
  const read = (text: string) => statement(text, { isRead: true })
  const locked = `locked AS MATERIALIZED (
    SELECT t.key FROM ${table} t WHERE t.key = ANY ($1::text[]) ORDER BY t.key FOR UPDATE
  )`
  const insert = `INSERT INTO ${table} AS t (key, value, bytes, expires_at)
    SELECT i.key, i.value, i.bytes, ${expiry('i.ttl')}
    FROM unnest($1::text[], $2::text[], $3::bytea[], $4::float8[]) AS i (key, value, bytes, ttl)
    ORDER BY i.key COLLATE "C"
    ON CONFLICT (key) DO UPDATE
    SET value = excluded.value, bytes = excluded.bytes, expires_at = excluded.expires_at`
  return {
    get: read(`SELECT t.value, ${bytesAsHex} FROM ${table} t WHERE t.key = $1 AND ${isAlive}`),
    getMany: read(`SELECT t.key, t.value, ${bytesAsHex}
      FROM ${table} t WHERE t.key = ANY ($1::text[]) AND ${isAlive}`),
    getWithTtl: read(`SELECT t.key, t.value, ${bytesAsHex}, ${remainingMs}
      FROM ${table} t WHERE t.key = ANY ($1::text[]) AND ${isAlive}`),
    set: statement(insert),
    add: statement(`${insert} WHERE NOT (${isAlive}) RETURNING t.key`),
    compareAndSet: statement(`WITH ${locked}
      UPDATE ${table} t SET value = i.value, bytes = i.bytes, expires_at = ${expiry('i.ttl')}
      FROM unnest($1::text[], $2::text[], $3::bytea[], $4::float8[], $5::text[], $6::bytea[])
        AS i (key, value, bytes, ttl, expected_value, expected_bytes)
      JOIN locked ON locked.key = i.key
      WHERE t.key = i.key AND ${isAlive}
        AND t.value IS NOT DISTINCT FROM i.expected_value
        AND t.bytes IS NOT DISTINCT FROM i.expected_bytes
      RETURNING t.key`),
    compareAndDelete: statement(`WITH ${locked}
      DELETE FROM ${table} t
      USING unnest($1::text[], $2::text[], $3::bytea[]) AS i (key, expected_value, expected_bytes)
      JOIN locked ON locked.key = i.key
      WHERE t.key = i.key AND ${isAlive}
        AND t.value IS NOT DISTINCT FROM i.expected_value
        AND t.bytes IS NOT DISTINCT FROM i.expected_bytes
      RETURNING t.key`),
    increment: statement(`INSERT INTO ${table} AS t (key, value, expires_at)
      SELECT i.key, i.by::text, ${expiry('i.ttl')}
      FROM unnest($1::text[], $2::bigint[], $3::float8[]) AS i (key, by, ttl)
      ORDER BY i.key COLLATE "C"
      ON CONFLICT (key) DO UPDATE SET (value, bytes, expires_at) = (
        SELECT CASE WHEN c.is_alive THEN (t.value::bigint + excluded.value::bigint)::text ELSE excluded.value END,
          NULL::bytea, CASE WHEN c.is_alive THEN t.expires_at ELSE excluded.expires_at END
        FROM (SELECT ${isAlive} AS is_alive OFFSET 0) c
      )
      WHERE NOT (${isAlive}) OR ${canAdd}
      RETURNING t.key, t.value`),
    touch: statement(`WITH ${locked}
      UPDATE ${table} t SET expires_at = ${expiry('i.ttl')}
      FROM unnest($1::text[], $2::float8[]) AS i (key, ttl) JOIN locked ON locked.key = i.key
      WHERE t.key = i.key AND ${isAlive} RETURNING t.key`),
    delete: statement(`WITH ${locked}
      DELETE FROM ${table} t USING locked WHERE t.key = locked.key RETURNING t.key, ${isAlive}`),
    scan: read(`SELECT t.key FROM ${table} t
      WHERE t.key > $1 AND t.key >= $2 AND ($3::text IS NULL OR t.key < $3) AND ${isAlive}
      ORDER BY t.key LIMIT $4::int`),
    clear: statement(`WITH page AS MATERIALIZED (
        SELECT t.key FROM ${table} t WHERE t.key > $1 ORDER BY t.key LIMIT $2::int FOR UPDATE
      ), deleted AS (DELETE FROM ${table} t USING page WHERE t.key = page.key)
      SELECT max(key COLLATE "C") FROM page`),
    time: read('SELECT extract(epoch FROM clock_timestamp()) * 1000'),
    ping: read('SELECT 1'),
  }
}
