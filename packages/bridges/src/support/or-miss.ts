import { type Cache, channels } from '@stowage/core'
import { publishError } from '@stowage/core/internal'

/** Reads a value. A failure is a miss, for libraries that cannot bear a rejection. */
export async function orMiss<T>(
  cache: Cache,
  key: string,
  read: () => Promise<T | undefined>,
): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    return missOf(cache, key, error)
  }
}

/** Reports the failure of a read, which is a miss. */
export function missOf(cache: Cache, key: string, error: unknown): undefined {
  // The cache has published the failure. Without subscribers, an outage is a warning of the process.
  if (!channels.error.hasSubscribers) {
    publishError({ cache: cache.name, store: cache.driver, key }, error)
  }
  return undefined
}
