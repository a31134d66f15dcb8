import { CacheError, type CacheErrorCode } from '@stowage/core'
import { DeadlineError } from '@stowage/core/driver'

interface Meaning {
  readonly code: CacheErrorCode
  readonly retryable: boolean
  readonly remedy: string
}

const unavailable = (remedy: string): Meaning => ({
  code: 'ERR_CACHE_UNAVAILABLE',
  retryable: true,
  remedy,
})
const rejected = (remedy: string, retryable = false): Meaning => ({
  code: 'ERR_CACHE_REJECTED',
  retryable,
  remedy,
})

/** Error replies by their first word. Any other error reply is rejected without a remedy. */
const meanings: ReadonlyMap<string, Meaning> = new Map(
  Object.entries({
    LOADING: unavailable('The server is loading its data; retry in a moment.'),
    MASTERDOWN: unavailable('The replica is disconnected from its primary.'),
    CLUSTERDOWN: unavailable('No master serves the slot of this key.'),
    TRYAGAIN: unavailable('The slot is being migrated; retry.'),
    MOVED: unavailable('Another node of the cluster serves this key now.'),
    ASK: unavailable('The slot is being migrated to another node.'),
    MAXCLIENTS: unavailable('Raise maxclients, or open fewer connections.'),
    BUSY: unavailable('The server is busy running a script.'),
    READONLY: rejected('This server is a replica; write to its primary.', true),
    OOM: rejected(
      'The server is full: raise maxmemory, or choose an eviction policy such as allkeys-lru.',
      true,
    ),
    NOREPLICAS: rejected('Too few replicas are connected (min-replicas-to-write).', true),
    MISCONF: rejected('The server cannot save to disk and rejects writes.', true),
    NOAUTH: rejected('Set user and password in REDIS_URL.'),
    WRONGPASS: rejected('Check user and password in REDIS_URL.'),
    NOPERM: rejected('The user lacks a permission; see ACL GETUSER.'),
    WRONGTYPE: rejected('The key holds something other than a cache entry.'),
  }),
)

const scriptRemedy =
  'Permit scripts: ACL SETUSER <user> +eval +evalsha. Redis 8.4 and Valkey 9.0 need none, if the user may run COMMAND INFO.'

/** Turns every failure of the client or the server into a `CacheError`. */
export function translate(error: unknown, operation: string, key?: string): CacheError {
  if (CacheError.is(error)) return error
  const cause = withoutArguments(rootError(toError(error)))
  const { code, retryable, remedy } = meaningOf(cause)
  const text = reasonOf(cause)
  const reason = remedy === '' ? text : `${text.replace(/\.$/, '')}. ${remedy}`
  const message = `redis ${operation} failed: ${reason}`
  return new CacheError(code, message, { store: 'redis', operation, key, retryable, cause })
}

/** The server that an error came from, as `host:port`. */
const servers = new WeakMap<Error, string>()

/** Makes the message of the error name the server. */
export function fromServer<E>(error: E, address: string): E {
  const isNew = error instanceof Error && !CacheError.is(error) && !servers.has(error)
  if (isNew && address !== '') servers.set(error, address)
  return error
}

/** What ioredis reports for a command that was in flight, or not sent yet, when the connection closed. */
const lostConnection = /^Connection is closed|^Stream isn't writeable|^Cluster isn't ready/

/** What other drivers report as well. In a script, Redis adds the name of the script. */
const reasons: readonly (readonly [RegExp, string])[] = [
  [lostConnection, 'the connection was lost'],
  [/^ERR .*value is not an integer or out of range/, 'the stored value is not an integer'],
  [/^ERR .*increment or decrement would overflow/, 'the sum is not a safe integer'],
]

function reasonOf(error: Error): string {
  const { message } = error
  const text = reasons.find(([pattern]) => pattern.test(message))?.[1] ?? message
  const server = servers.get(error)
  return server === undefined || text.includes(server) ? text : `${text} (${server})`
}

/** Whether the key holds a type other than a string. */
export function isWrongType(error: unknown): boolean {
  return replyCode(error as Error) === 'WRONGTYPE'
}

/** Whether the server rejected a write because it is a replica. */
export function isReadOnly(error: unknown): boolean {
  return replyCode(error as Error) === 'READONLY'
}

/** Whether the server does not have the script of a digest: the command was not executed. */
export function isScriptMissing(error: CacheError): boolean {
  return replyCode(error.cause as Error) === 'NOSCRIPT'
}

/** Whether the user may run no scripts, or the service has none: the command was not executed. */
export function isScriptRefused(error: unknown): boolean {
  const { name, message } = error as Error
  return (
    name === 'ReplyError' && /^(?:NOPERM|ERR unknown command) .*\beval(?:sha)?\b/i.test(message)
  )
}

/** Whether the keys of a command are on two nodes, because their slot is being migrated: it was not executed. */
export function isSlotMigrating({ cause }: CacheError): boolean {
  const isTooOften = String((cause as Error)?.message).startsWith('Too many Cluster redirections')
  return isTooOften || replyCode(cause as Error) === 'TRYAGAIN'
}

/** Whether the user lacks a permission. */
export function isForbidden(error: unknown): boolean {
  return replyCode(error as Error) === 'NOPERM'
}

/** Whether the server rejected the command because it is a replica: the command was not executed. */
export function isRejectedByReplica(error: CacheError): boolean {
  return isReadOnly(error.cause)
}

/** Whether the connection was lost, or closed because the server is a replica: a new connection may succeed. */
export function isConnectionLost(error: CacheError): boolean {
  const lost =
    error.code === 'ERR_CACHE_UNAVAILABLE' && replyCode(error.cause as Error) === undefined
  return lost || isRejectedByReplica(error)
}

/** An application may throw anything, or reject without a reason. */
function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}

function meaningOf(error: Error): Meaning {
  if (error instanceof DeadlineError || error.message === 'Command timed out') {
    return { code: 'ERR_CACHE_TIMEOUT', retryable: true, remedy: '' }
  }
  const code = replyCode(error)
  if (code === undefined) return unavailable('')
  if (isScriptRefused(error)) return rejected(scriptRemedy)
  return meanings.get(code) ?? rejected('')
}

/** First word of an error reply; `undefined` if the error did not come from the server. */
export function replyCode(error: Error | undefined): string | undefined {
  if (error?.name !== 'ReplyError') return undefined
  const { message } = error
  if (message.startsWith('ERR max number of clients')) return 'MAXCLIENTS'
  if (message.startsWith('ERR The user executing the script')) return 'NOPERM'
  // Before Redis 7 the error of a command in a script is at the end of the message.
  return /^ERR Error running script.* -(\w+)/.exec(message)?.[1] ?? message.split(' ', 1)[0]
}

/** If no node of a cluster could be reached, ioredis attaches the error of the last node. */
function rootError(error: Error & { lastNodeError?: unknown }): Error {
  return error.lastNodeError instanceof Error ? rootError(error.lastNodeError) : error
}

/**
 * ioredis attaches the command to its errors, with all arguments: keys, values and, during the handshake, the password.
 * None of them may reach a log.
 */
function withoutArguments(error: Error & { command?: unknown }): Error {
  delete error.command
  // The server quotes the arguments of an unknown command.
  const [quoted] = /,? with args beginning with:.*$/s.exec(error.message) ?? []
  if (quoted === undefined) return error
  error.message = error.message.replace(quoted, '')
  // A client with showFriendlyErrorStack writes the message to the stack.
  if (error.stack !== undefined) error.stack = error.stack.replace(quoted, '')
  return error
}
