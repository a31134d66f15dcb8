import { CacheError } from './errors.ts'

/** The error of a payload that is larger than `limits.valueBytes`, with the sizes and the way out. */
export function oversized(
  store: string,
  operation: string,
  key: string,
  bytes: number,
  limit: number,
): CacheError {
  return new CacheError(
    'ERR_CACHE_LIMIT',
    `The value has ${bytes} bytes; the ${store} store takes at most ${limit}. Store less, or compress it.`,
    { store, operation, key },
  )
}
