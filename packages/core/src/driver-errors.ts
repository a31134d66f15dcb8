import { CacheError, type CacheErrorOptions } from './errors.ts'

/**
 * Whether the error means that the backend did not reply, so that the call may succeed later or on another store.
 *
 * @example
 * try {
 *   await cache.set('user:1', { name: 'Ada' })
 * } catch (error) {
 *   if (!isUnreachable(error)) throw error
 *   console.warn('not stored', error.code)
 * }
 */
export function isUnreachable(error: unknown): error is CacheError {
  return (
    CacheError.is(error) &&
    (error.code === 'ERR_CACHE_UNAVAILABLE' || error.code === 'ERR_CACHE_TIMEOUT')
  )
}

/**
 * Creates the error of an `increment` whose stored value or sum is not a safe integer.
 *
 * @example
 * throw notACounter('mystore', 'visits', 'the stored value is not an integer')
 */
export function notACounter(
  store: string,
  key: string,
  reason: string,
  { retryable }: Pick<CacheErrorOptions, 'retryable'> = {},
): CacheError {
  return new CacheError('ERR_CACHE_REJECTED', `${store} increment failed: ${reason}.`, {
    store,
    operation: 'increment',
    key,
    retryable,
  })
}

/**
 * Creates the error of a payload that is larger than `limits.valueBytes`. Its message contains both sizes.
 *
 * @example
 * throw valueTooLarge('mystore', 'set', 'page:1', 2_000_000, 1_000_000)
 */
export function valueTooLarge(
  store: string,
  operation: string,
  key: string,
  bytes: number,
  limit: number,
  remedy = 'Store less, or compress it.',
): CacheError {
  return new CacheError(
    'ERR_CACHE_LIMIT',
    `${store} ${operation} failed: the value has ${bytes} bytes, at most ${limit} are allowed. ${remedy}`,
    { store, operation, key },
  )
}
