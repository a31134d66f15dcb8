import { CacheError, type CacheErrorCode } from '@stowage/core'
import { DeadlineError } from '@stowage/core/driver'
import { ProtocolMismatchError, ServerError, status } from './protocol/protocol.ts'

interface Classification {
  readonly code: CacheErrorCode
  readonly retryable: boolean
  readonly remedy: string
}

const rejected = (remedy: string, retryable = false): Classification => ({
  code: 'ERR_CACHE_REJECTED',
  retryable,
  remedy,
})

const byStatus: Readonly<Record<number, Classification>> = {
  [status.tooLarge]: {
    code: 'ERR_CACHE_LIMIT',
    retryable: false,
    remedy: "Store less, compress it, set oversize to 'chunk', or raise the limit (memcached -I).",
  },
  [status.notNumeric]: rejected('The key holds a value that is not a counter.'),
  [status.unknownCommand]: rejected(
    'The meta protocol requires memcached 1.6, or a server that is compatible with it.',
  ),
  [status.unauthorized]: rejected('Check MEMCACHED_USERNAME and MEMCACHED_PASSWORD.'),
  [status.outOfMemory]: rejected(
    'The server is full: raise its memory limit (-m), or allow it to evict items (no -M).',
    true,
  ),
}

/** A node cannot be used. */
export class NodeError extends Error {
  readonly node: string
  readonly reason: Error

  constructor(node: string, reason: Error) {
    super(`${node}: ${reason.message}`, { cause: reason })
    this.node = node
    this.reason = reason
  }
}

/**
 * The only place where an error of the connection or the server becomes a `CacheError`.
 *
 * @param node the name of the node that failed
 */
export function translate(
  error: unknown,
  operation: string,
  key?: string,
  node?: string,
): CacheError {
  if (CacheError.is(error)) return error
  if (error instanceof NodeError) return translate(error.reason, operation, key, error.node)
  const cause = error as Error
  const { code, retryable, remedy } = classify(cause)
  const reason = node === undefined ? cause.message : `${node}: ${cause.message}`
  const message = `memcached ${operation} failed: ${reason}${remedy && `. ${remedy}`}`
  return new CacheError(code, message, { store: 'memcached', operation, key, retryable, cause })
}

/** The same error for one of the keys of a batch. */
export function errorOfKey(error: unknown, operation: string, key: string): CacheError {
  const translated = translate(error, operation, key)
  if (translated.key === key) return translated
  const { code, message, retryable, cause } = translated
  return new CacheError(code, message, { store: 'memcached', operation, key, retryable, cause })
}

function classify(error: Error): Classification {
  if (error instanceof ServerError) return byStatus[error.status] ?? rejected('')
  if (error instanceof ProtocolMismatchError) {
    return {
      code: 'ERR_CACHE_CONFIG',
      retryable: false,
      remedy: 'Check that this is the address of a memcached server.',
    }
  }
  const timedOut = error instanceof DeadlineError
  return {
    code: timedOut ? 'ERR_CACHE_TIMEOUT' : 'ERR_CACHE_UNAVAILABLE',
    retryable: true,
    remedy: '',
  }
}
