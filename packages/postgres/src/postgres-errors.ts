import { CacheError, type CacheErrorCode } from '@stowage/core'
import { DeadlineError } from '@stowage/core/driver'

interface Meaning {
  readonly code: CacheErrorCode
  readonly reason: string
  readonly retryable?: boolean
}

const pooledTransactions: Meaning = {
  code: 'ERR_CACHE_CONFIG',
  reason:
    'a pooler changes the connection between statements. Set transactionPooling: true (POSTGRES_TRANSACTION_POOLING=true)',
}

const tableRemedy =
  "Create it with ensureTable: 'create' (POSTGRES_ENSURE_TABLE=create), or with the statements of tableStatements()"

/**
 * What error codes of the server mean, by the code or by its class: its first two characters. Texts of the server are not
 * shown for classes that may quote a value.
 * @see https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const meanings: Readonly<Record<string, Meaning>> = {
  '42P01': {
    code: 'ERR_CACHE_CONFIG',
    reason: `the table does not exist, or its schema is not in the search_path. ${tableRemedy}`,
  },
  '42': {
    code: 'ERR_CACHE_CONFIG',
    reason: `the table has other columns, or no primary key. ${tableRemedy}`,
  },
  '42501': {
    code: 'ERR_CACHE_CONFIG',
    reason:
      'the role lacks a privilege. Grant it: GRANT SELECT, INSERT, UPDATE, DELETE ON <table> TO <role>',
  },
  // A prepared statement is missing, or exists already.
  '26000': pooledTransactions,
  '42P05': pooledTransactions,
  '3D000': { code: 'ERR_CACHE_CONFIG', reason: 'the database does not exist. Check its name' },
  '3F000': { code: 'ERR_CACHE_CONFIG', reason: 'the schema of the table does not exist' },
  '28': {
    code: 'ERR_CACHE_REJECTED',
    reason: 'the server rejects the role or its password. Check POSTGRES_URL',
  },
  '22P05': { code: 'ERR_CACHE_CONFIG', reason: 'the encoding of the database must be UTF8' },
  '22021': { code: 'ERR_CACHE_CONFIG', reason: 'the encoding of the database must be UTF8' },
  '25P02': {
    code: 'ERR_CACHE_REJECTED',
    reason:
      'the transaction of its connection has failed. Roll it back, before the connection returns to a pool',
  },
  '25006': {
    code: 'ERR_CACHE_REJECTED',
    reason:
      'the server is read-only: a standby, or one that was demoted. Connect to the primary, or check default_transaction_read_only',
    retryable: true,
  },
  '40': {
    code: 'ERR_CACHE_UNAVAILABLE',
    reason: 'it conflicted with other transactions until its deadline',
  },
  '53100': {
    code: 'ERR_CACHE_REJECTED',
    reason: 'the disk of the server is full. Free some space',
    retryable: true,
  },
  '53200': {
    code: 'ERR_CACHE_REJECTED',
    reason: 'the server is out of memory',
    retryable: true,
  },
  '53300': {
    code: 'ERR_CACHE_UNAVAILABLE',
    reason:
      'the server has too many connections. Lower maxConnections, raise max_connections, or use PgBouncer',
  },
  '54': { code: 'ERR_CACHE_LIMIT', reason: 'the key or the value is too large for the server' },
  '55P03': {
    code: 'ERR_CACHE_TIMEOUT',
    reason: 'another transaction held a lock of the row until the deadline',
  },
  '57014': {
    code: 'ERR_CACHE_TIMEOUT',
    reason:
      'the server canceled the statement. The statement_timeout of its connections should not be shorter than timeout',
  },
  '57': { code: 'ERR_CACHE_UNAVAILABLE', reason: 'the server is starting up or shutting down' },
  '08': { code: 'ERR_CACHE_UNAVAILABLE', reason: 'the connection was lost' },
}

/** The limit of PgBouncer. Its code is the one of a violation of the protocol. */
const tooManyClients = /no more connections allowed/

/** Texts of errors of the client, and of servers between it and the database. */
const texts: readonly (readonly [RegExp, Meaning])[] = [
  [
    tooManyClients,
    {
      code: 'ERR_CACHE_UNAVAILABLE',
      reason: 'PgBouncer has too many clients. Raise max_client_conn, or lower maxConnections',
    },
  ],
  [
    /unsupported startup parameter/,
    {
      code: 'ERR_CACHE_CONFIG',
      reason:
        'PgBouncer is between. Set transactionPooling: true (POSTGRES_TRANSACTION_POOLING=true)',
    },
  ],
  [
    /timeout exceeded when trying to connect|connection timeout|timeout expired/,
    { code: 'ERR_CACHE_TIMEOUT', reason: 'no connection before the deadline' },
  ],
  [
    /password must be a string|SASL/i,
    {
      code: 'ERR_CACHE_REJECTED',
      reason: 'the server requires a password. Set it in POSTGRES_URL or PGPASSWORD',
    },
  ],
  [
    /^Connection terminated|^Client has encountered a connection error|^Client was closed/,
    { code: 'ERR_CACHE_UNAVAILABLE', reason: 'the connection was lost' },
  ],
]

/** None of several hosts is a primary, or the only one has been replaced by another one. */
export class NoPrimaryError extends Error {
  constructor() {
    super('No host is the primary')
  }
}

/** A connection of the application is in a transaction although it must not be, or the other way round. */
export class TransactionError extends Error {}

/** Turns every failure of the client or the server into a `CacheError`. */
export function translate(error: unknown, operation: string, key?: string): CacheError {
  if (CacheError.is(error)) return error
  const { code, reason, retryable } = meaningOf(error)
  return new CacheError(code, `postgres ${operation} failed: ${reason}.`, {
    store: 'postgres',
    operation,
    key,
    retryable,
    cause: withoutValues(error),
  })
}

function meaningOf(error: unknown): Meaning {
  if (error instanceof DeadlineError) {
    return { code: 'ERR_CACHE_TIMEOUT', reason: 'no reply before the deadline' }
  }
  if (error instanceof NoPrimaryError) {
    return {
      code: 'ERR_CACHE_UNAVAILABLE',
      reason: 'no host of url accepts writes: all are standbys, or primaries that were replaced',
    }
  }
  if (error instanceof TransactionError) {
    return { code: 'ERR_CACHE_REJECTED', reason: error.message }
  }
  const { message = String(error) } = error as Error
  const text = texts.find(([pattern]) => pattern.test(message))
  if (text !== undefined) return text[1]
  const state = sqlState(error)
  if (state === undefined) return { code: 'ERR_CACHE_UNAVAILABLE', reason: reasonOf(error) }
  const meaning = meanings[state] ?? meanings[state.slice(0, 2)]
  return meaning ?? { code: 'ERR_CACHE_REJECTED', reason: `the server replied with error ${state}` }
}

/** Of several addresses of a host, Node reports the reason on the inner errors only. */
function reasonOf(error: unknown): string {
  const { message, code, errors } = error as {
    message?: string
    code?: string
    errors?: readonly Error[]
  }
  return message || errors?.[0]?.message || code || String(error)
}

/** The five characters by which the server identifies an error; `undefined` for an error of the client. */
export function sqlState(error: unknown): string | undefined {
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown }
  return typeof code === 'string' && severity !== undefined && /^[0-9A-Z]{5}$/.test(code)
    ? code
    : undefined
}

/**
 * Whether the connection must not be used any more: it was lost, the server cannot execute writes on it, or its prepared
 * statements are outdated.
 */
export function isConnectionFailure(error: unknown): boolean {
  const state = sqlState(error)
  if (state === undefined) return true
  return isReadOnly(error) || isOutdatedPlan(error) || /^(?:08|57P)/.test(state)
}

/** Whether no connection could be opened, so that another attempt would fail as well. */
export function isConnectionRefused(error: unknown): boolean {
  const { code, syscall } = (error ?? {}) as { code?: unknown; syscall?: unknown }
  return code === 'ECONNREFUSED' || code === 'ENOTFOUND' || syscall === 'connect'
}

/** Whether the server is a standby, which executes no writes. */
export function isReadOnly(error: unknown): boolean {
  return sqlState(error) === '25006'
}

/** Whether the table does not exist. */
export function isMissingTable(error: unknown): boolean {
  return sqlState(error) === '42P01'
}

/** Whether a column has changed its type since the statement was prepared. The code has other causes too. */
function isOutdatedPlan(error: unknown): boolean {
  return (
    sqlState(error) === '0A000' &&
    (error as { routine?: unknown }).routine === 'RevalidateCachedQuery'
  )
}

/** Whether the server has not executed the statement, and may execute it a moment later. */
export function isRetryable(error: unknown): boolean {
  const state = sqlState(error)
  if (state === '08P01') return tooManyClients.test((error as Error).message)
  return state === '40001' || state === '40P01' || state === '53300' || isOutdatedPlan(error)
}

/** Whether the failure of a batch may be that of one key: a lock that is held, or a value that the server rejects. */
export function isOfOneKey(error: unknown): boolean {
  const state = sqlState(error)
  return state !== undefined && /^(?:55P03|22|23|54|P0)/.test(state)
}

/** Members in which the server quotes keys and values. */
const quoting = ['detail', 'where', 'internalQuery', 'hint']

/** The error without what the server may quote. For data that it or a trigger rejects, that is also the message. */
function withoutValues(error: unknown): unknown {
  const state = sqlState(error)
  if (state === undefined) return error
  const members = error as Record<string, unknown>
  for (const name of quoting) delete members[name]
  if (/^(?:22|23|P0)/.test(state)) {
    members.message = `error ${state}`
    members.stack = `Error: error ${state}`
  }
  return error
}
