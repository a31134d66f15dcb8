import { CacheError } from '../../errors.ts'

/** The error of a codec that cannot represent a value. `as` completes "The value cannot be stored". */
export function unencodable(as: string, reason: string, cause?: unknown): CacheError {
  return new CacheError('ERR_CACHE_CODEC', `The value cannot be stored ${as}: ${reason}`, {
    operation: 'encode',
    cause,
  })
}
