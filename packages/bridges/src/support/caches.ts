import { types } from 'node:util'
import { type Cache, channels } from '@stowage/core'
import { toText } from '@stowage/core/driver'
import { publishError } from '@stowage/core/internal'

/** @throws TypeError also if a store was passed, such as `memory()`, or the arguments in another order */
export function checkCache(bridge: string, cache: unknown): void {
  if (typeof (cache as { remember?: unknown } | undefined)?.remember === 'function') return
  throw new TypeError(
    `${bridge}: the first argument must be a Cache, such as caches.use('cache') or new Cache(memory()).`,
  )
}

/** A value of a view of text. A cache with a codec of its own may return the bytes of the text. */
export function textOf(value: unknown): string | undefined {
  return types.isUint8Array(value) ? toText(value) : (value as string | undefined)
}

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

/** In milliseconds; `undefined` is that of the cache. */
type Ttl = number | undefined

/** Stores entries with one write for each ttl, because `cache.setMany` has one for all. */
export async function setByTtl(
  cache: Cache,
  entries: readonly (readonly [key: string, value: unknown, ttl: Ttl])[],
): Promise<void> {
  const groups = new Map<Ttl, (readonly [key: string, value: unknown])[]>()
  // Of several entries with the same key, the last one counts, whatever its ttl.
  const last = new Map(entries.map((entry) => [entry[0], entry]))
  for (const [key, value, ttl] of last.values()) {
    const group = groups.get(ttl)
    if (group === undefined) groups.set(ttl, [[key, value]])
    else group.push([key, value])
  }
  await Promise.all([...groups].map(([ttl, group]) => cache.setMany(group, { ttl })))
}
