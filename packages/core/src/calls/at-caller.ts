import { CacheError } from '../errors.ts'
import type { Awaitable } from '../store.ts'

/** Errors whose stack contains the caller, such as those of a call within the function of an `update`. */
const located = new WeakSet<object>()

/**
 * Settles like `result`. The stack of an error contains the functions that await the call, and its `key` is that of the
 * call: V8 adds them to an error that is created when the result is awaited already, and not to that of a reply, which is
 * created in a callback of the socket. Costs a promise per call, and the rest when it fails.
 */
export function atCaller<T>(result: Promise<T>, key?: string): Promise<T>
export function atCaller<T>(result: Awaitable<T>, key?: string): Awaitable<T>
export function atCaller<T>(result: Awaitable<T>, key?: string): Awaitable<T> {
  if (!(result instanceof Promise)) return result
  return result.catch((error) => {
    throw errorAtCaller(error, key)
  })
}

/** Returns the error with the stack of the caller. A copy, because calls that share a request also share its error. */
export function errorAtCaller(error: unknown, key?: string): unknown {
  return CacheError.is(error) && !located.has(error) ? withCaller(error, key) : error
}

function withCaller(error: CacheError, key: string | undefined): CacheError {
  const hasOutcomes = 'outcomes' in error // That of a batch belongs to one call.
  // Another key is that of what the call needs as well, such as the id of a generation.
  const own = hasOutcomes ? error : CacheError.forCall(error, { key: key ?? error.key })
  Error.captureStackTrace(own, errorAtCaller)
  located.add(own)
  return own
}
