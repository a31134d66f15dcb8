import { CacheError } from '@stowage/core'

/** The error of an increment that is refused. Memory has no other failures of its own to translate. */
export function notACounter(key: string, reason: string): CacheError {
  return new CacheError('ERR_CACHE_REJECTED', `increment refused: ${reason}.`, {
    store: 'memory',
    operation: 'increment',
    key,
  })
}
