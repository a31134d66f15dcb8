import { CacheError, type CacheErrorOptions } from '../errors.ts'
import type { Awaitable, StoreContract } from '../store.ts'
import type { Clock } from '../time/clock.ts'

const maxAttempts = 100

/** Where the conflicts occur, for the error. */
export type ConflictLocation = Pick<CacheErrorOptions, 'store' | 'key'> & {
  readonly operation: string
}

/** Result of an attempt whose key was changed between its read and its write. */
export const conflict: unique symbol = Symbol('conflict')

/**
 * Repeats a read and a conditional write until no other write comes in between. Waits for a short random time after
 * each conflict.
 *
 * @throws CacheError `ERR_CACHE_REJECTED` (retryable) after 100 conflicts
 * @example
 * const bytes = memory()
 * await retryOnConflict({ operation: 'append', store: 'memory' }, systemClock, async () => {
 *   const seen = await bytes.get('log')
 *   const next = toText(seen ?? '') + 'x'
 *   const written = seen === undefined ? bytes.add('log', next) : bytes.compareAndSet('log', seen, next)
 *   return (await written) ? next : conflict
 * })
 */
export async function retryOnConflict<T>(
  at: ConflictLocation,
  clock: Clock,
  attempt: () => Promise<T | typeof conflict>,
): Promise<T> {
  for (let conflicts = 0; conflicts < maxAttempts; conflicts++) {
    const outcome = await attempt()
    if (outcome !== conflict) return outcome
    await clock.sleep(Math.random() * Math.min(conflicts, 20))
  }
  throw new CacheError(
    'ERR_CACHE_REJECTED',
    `${at.operation} failed: the key changed between read and write in each of ${maxAttempts} attempts, or its value is ` +
      'not a cache entry. Retry later, or delete the key.',
    { ...at, retryable: true },
  )
}

/**
 * Stores an item in the place of the one that was read, or of none. Resolves to `false` if another one is there by now.
 *
 * @param seen the item that was read; `undefined` if there was none
 */
export function replaceSeen<P extends 'bytes' | 'entry', I>(
  store: Pick<StoreContract<P, I>, 'add' | 'compareAndSet'>,
  key: string,
  seen: I | undefined,
  next: I,
  ttl?: number,
): Awaitable<boolean> {
  return seen === undefined ? store.add(key, next, ttl) : store.compareAndSet(key, seen, next, ttl)
}
