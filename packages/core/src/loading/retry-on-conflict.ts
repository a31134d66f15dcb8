import { CacheError } from '../errors.ts'
import type { Clock } from '../time/clock.ts'

const attempts = 100

/** What an attempt returns when somebody else changed the key between its read and its write. */
export const conflict: unique symbol = Symbol('conflict')

/**
 * Repeats a read–compare–write until nobody came in between, after a short random pause each time.
 * @throws CacheError `ERR_CACHE_REJECTED` (retryable) after 100 conflicts
 */
export async function retryOnConflict<T>(
  operation: string,
  clock: Clock,
  attempt: () => Promise<T | typeof conflict>,
): Promise<T> {
  for (let failed = 0; failed < attempts; failed++) {
    const outcome = await attempt()
    if (outcome !== conflict) return outcome
    await clock.sleep(Math.random() * Math.min(failed, 20))
  }
  throw new CacheError(
    'ERR_CACHE_REJECTED',
    `${operation} gave up after ${attempts} attempts: the key kept changing between read and write, or holds something ` +
      'that is no entry. Try again, use a lock, or delete it.',
    { operation, retryable: true },
  )
}
