import { isUnreachable } from '../../driver-errors.ts'
import { CacheError } from '../../errors.ts'

/** Error replies of a Redis server that executes reads, and no writes. */
const readOnlyReply = /^(READONLY|MISCONF|NOREPLICAS)\b/

/** Whether the error means that the backend, and not this call, has a problem: the call may succeed on another store. */
export function isOutage(error: unknown): error is CacheError {
  return isUnreachable(error) || isRefusal(error)
}

/** Whether the backend refused a write because it is read-only. The call was not executed. */
export function isRefusal(error: unknown): boolean {
  if (!CacheError.is(error) || error.code !== 'ERR_CACHE_REJECTED' || !error.retryable) return false
  return readOnlyReply.test(String((error.cause as Partial<Error> | undefined)?.message))
}
