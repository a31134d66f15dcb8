import { checkTimeout } from '../configuration/check-options.ts'
import { CacheError } from '../errors.ts'
import type { CacheStore } from '../store.ts'
import { answerWithin } from '../time/deadline.ts'
import type { Duration } from '../time/duration.ts'
import { wrapStore } from './wrap-store.ts'

/**
 * Gives every call of a store a deadline, after which the call rejects with `ERR_CACHE_TIMEOUT`. The backend may still
 * carry the call out: a deadline bounds the wait, not the work. For backends whose client has no deadline of its own.
 * Uses system timers, not the cache's clock, because the calls of a real backend take real time.
 *
 * @example
 * const store = withTimeout(new SqliteStore('cache.db'), '500ms')
 * @throws CacheError `ERR_CACHE_CONFIG` for a timeout below 1 ms or above 24 days
 */
export function withTimeout<S extends CacheStore>(store: S, timeout: Duration): S {
  const ms = checkTimeout('The timeout', timeout)
  return wrapStore(store, (operation, call) => {
    const result = call()
    if (!(result instanceof Promise)) return result
    return answerWithin(ms, result, () => timeoutError(store.name, operation, ms))
  })
}

function timeoutError(store: string, operation: string, ms: number): CacheError {
  const message = `The ${store} store did not answer within ${ms} ms.`
  return new CacheError('ERR_CACHE_TIMEOUT', message, { store, operation })
}
