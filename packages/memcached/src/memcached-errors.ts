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

/** The only place where an error of the connection or the server becomes a `CacheError`. */
export function translate(error: unknown, operation: string, key?: string): CacheError {
  if (CacheError.is(error)) return error
  const cause = error as Error
  const { code, retryable, remedy } = classify(cause)
  const message = `memcached ${operation} failed: ${cause.message}${remedy && `. ${remedy}`}`
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
