import { answerWithin } from '../calls/deadline.ts'
import { CacheError } from '../errors.ts'
import { checkTimeout } from '../options/check-options.ts'
import type { CacheStore } from '../store.ts'
import type { Duration } from '../time/duration.ts'
import { wrapStore } from './wrap-store.ts'

/**
 * Wraps a store so that every call rejects with `ERR_CACHE_TIMEOUT` if there is no reply within `timeout`. The backend
 * may still execute the call: only the wait ends. Use it for a client that has no timeout of its own. It uses system
 * timers instead of the clock of the cache, because the calls take real time.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for a timeout below 1 ms or above 24 days
 * @example
 * const bounded = withTimeout(store, '500ms')
 * await bounded.ping()
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
  const message = `${store} ${operation} failed: no reply within ${ms} ms.`
  return new CacheError('ERR_CACHE_TIMEOUT', message, { store, operation })
}
