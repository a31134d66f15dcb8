import { CacheError, type CacheErrorCode } from '@stowage/core'
import { DeadlineError } from '@stowage/core/driver'

interface Meaning {
  readonly code: CacheErrorCode
  readonly retryable: boolean
  readonly advice: string
}

const notReady = (advice: string): Meaning => ({
  code: 'ERR_CACHE_UNAVAILABLE',
  retryable: true,
  advice,
})
const refused = (advice: string, retryable = false): Meaning => ({
  code: 'ERR_CACHE_REJECTED',
  retryable,
  advice,
})

/** What the first word of an error reply means. Any other reply is a plain refusal. */
const replies: Readonly<Record<string, Meaning>> = {
  LOADING: notReady('The server is loading its data; try again in a moment.'),
  MASTERDOWN: notReady('The replica has lost its primary.'),
  CLUSTERDOWN: notReady('The cluster has no master for this key now.'),
  TRYAGAIN: notReady('The slot is being moved; try again.'),
  MOVED: notReady('Another node of the cluster serves this key now.'),
  ASK: notReady('The slot is being moved to another node.'),
  BUSY: notReady('A script keeps the server busy.'),
  READONLY: refused('This server is a replica; write to its primary.', true),
  OOM: refused(
    'The server is full: raise maxmemory, or choose an eviction policy such as allkeys-lru.',
    true,
  ),
  NOREPLICAS: refused('Too few replicas are in touch (min-replicas-to-write).', true),
  MISCONF: refused('The server cannot save to disk and refuses writes.', true),
  NOAUTH: refused('Give user and password in REDIS_URL.'),
  WRONGPASS: refused('Check user and password in REDIS_URL.'),
  NOPERM: refused('The user lacks a permission; see ACL GETUSER.'),
  WRONGTYPE: refused('Something else than a cache entry lives under this key.'),
}

/** The one place where a failure of the client or the server becomes a `CacheError`. */
export function translate(error: unknown, operation: string, key?: string): CacheError {
  if (CacheError.is(error)) return error
  const cause = withoutArguments(innermost(error as Error))
  const { code, retryable, advice } = meaningOf(cause)
  const message = `redis ${operation} failed: ${cause.message}${advice && ` ${advice}`}`
  return new CacheError(code, message, { store: 'redis', operation, key, retryable, cause })
}

/** Whether the server said that the key holds something else than a string. */
export function isForeignType(error: unknown): boolean {
  return replyCode(error as Error) === 'WRONGTYPE'
}

/** Whether the server said that it is a replica. */
export function isReadOnly(error: unknown): boolean {
  return replyCode(error as Error) === 'READONLY'
}

/** Whether the user lacks a permission. */
export function isForbidden(error: unknown): boolean {
  return replyCode(error as Error) === 'NOPERM'
}

/** Whether the server refused the command because it is a replica: it was not carried out. */
export function isRefusedByReplica(error: CacheError): boolean {
  return isReadOnly(error.cause)
}

/** Whether the connection has ended, be it because this server is a replica: the next one may do better. */
export function isBroken(error: CacheError): boolean {
  const lost =
    error.code === 'ERR_CACHE_UNAVAILABLE' && replyCode(error.cause as Error) === undefined
  return lost || isRefusedByReplica(error)
}

function meaningOf(error: Error): Meaning {
  if (error instanceof DeadlineError || error.message === 'Command timed out') {
    return { code: 'ERR_CACHE_TIMEOUT', retryable: true, advice: '' }
  }
  const code = replyCode(error)
  if (code === undefined) return notReady('')
  return replies[code] ?? refused('')
}

/** First word of an error reply; `undefined` when the error did not come from the server. */
function replyCode(error: Error): string | undefined {
  if (error.name !== 'ReplyError') return undefined
  const { message } = error
  if (message.startsWith('ERR The user executing the script')) return 'NOPERM'
  // Before Redis 7 what a command of a script was refused with stands at the end.
  return /^ERR Error running script.* -(\w+)/.exec(message)?.[1] ?? message.split(' ', 1)[0]
}

/** Of a cluster that could not be reached, the client says what the last node said. */
function innermost(error: Error & { lastNodeError?: unknown }): Error {
  return error.lastNodeError instanceof Error ? innermost(error.lastNodeError) : error
}

/**
 * The client attaches the command to its errors, arguments included: keys, values, in a handshake even the
 * password. None of it may reach a log.
 */
function withoutArguments(error: Error & { command?: unknown }): Error {
  delete error.command
  // The server quotes the arguments of a command it does not know.
  error.message = error.message.replace(/,? with args beginning with:.*$/s, '')
  return error
}
