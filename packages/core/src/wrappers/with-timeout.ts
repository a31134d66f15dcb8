import { CacheError } from '../errors.ts'
import type { CacheStore } from '../store.ts'
import { type Duration, deadlineMs } from '../time/duration.ts'
import { wrapStore } from './wrap-store.ts'

/**
 * Gives every call of a store a deadline; then it fails with `ERR_CACHE_TIMEOUT`. The backend may still carry
 * the call out: a deadline bounds the wait, not the work. For backends whose client has no deadline of its own.
 * Time is the system's, as the calls of a real backend are.
 */
export function withTimeout<S extends CacheStore>(store: S, timeout: Duration): S {
  const ms = deadlineMs('The timeout', timeout)
  return wrapStore(store, (operation, call) => {
    const result = call()
    return result instanceof Promise ? inTime(result, ms, store.name, operation) : result
  })
}

function inTime<T>(result: Promise<T>, ms: number, store: string, operation: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = () =>
      reject(
        new CacheError('ERR_CACHE_TIMEOUT', `The ${store} store did not answer within ${ms} ms.`, {
          store,
          operation,
        }),
      )
    const timer = setTimeout(late, ms)
    result.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
