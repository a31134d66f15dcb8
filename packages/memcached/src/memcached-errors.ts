import { CacheError, type CacheErrorCode } from '@stowage/core'
import { DeadlineError } from '@stowage/core/driver'
import { OtherProtocol, ServerError, status } from './protocol/protocol.ts'

interface Meaning {
  readonly code: CacheErrorCode
  readonly retryable: boolean
  readonly advice: string
}

const refused = (advice: string, retryable = false): Meaning => ({
  code: 'ERR_CACHE_REJECTED',
  retryable,
  advice,
})

const refusals: Readonly<Record<number, Meaning>> = {
  [status.tooLarge]: {
    code: 'ERR_CACHE_LIMIT',
    retryable: false,
    advice: 'Store less, compress it, set oversize to chunk, or raise the limit with memcached -I.',
  },
  [status.notNumeric]: refused('Something else than a counter lives under this key.'),
  [status.unknownCommand]: refused(
    'The server does not know the command: the meta protocol takes memcached 1.6, or what speaks like it.',
  ),
  [status.unauthorized]: refused('Check MEMCACHED_USERNAME and MEMCACHED_PASSWORD.'),
  [status.outOfMemory]: refused(
    'The server is full: raise its memory (-m), or let it evict.',
    true,
  ),
}

/** The one place where a failure of the connection or the server becomes a `CacheError`. */
export function translate(error: unknown, operation: string, key?: string): CacheError {
  if (CacheError.is(error)) return error
  const cause = error as Error
  const { code, retryable, advice } = meaningOf(cause)
  const message = `memcached ${operation} failed: ${cause.message}${advice && `. ${advice}`}`
  return new CacheError(code, message, { store: 'memcached', operation, key, retryable, cause })
}

function meaningOf(error: Error): Meaning {
  if (error instanceof ServerError) return refusals[error.status] ?? refused('')
  if (error instanceof OtherProtocol) {
    return { code: 'ERR_CACHE_CONFIG', retryable: false, advice: 'Is this a memcached server?' }
  }
  const late = error instanceof DeadlineError
  return {
    code: late ? 'ERR_CACHE_TIMEOUT' : 'ERR_CACHE_UNAVAILABLE',
    retryable: true,
    advice: '',
  }
}
