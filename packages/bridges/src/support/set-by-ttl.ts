import type { Cache } from '@stowage/core'

/** In milliseconds; `undefined` is that of the cache. */
type Ttl = number | undefined

/** Stores entries with one write for each ttl, because `cache.setMany` has one for all. */
export async function setByTtl(
  cache: Cache,
  entries: readonly (readonly [key: string, value: unknown, ttl: Ttl])[],
): Promise<void> {
  const groups = new Map<Ttl, (readonly [key: string, value: unknown])[]>()
  for (const [key, value, ttl] of entries) {
    const group = groups.get(ttl)
    if (group === undefined) groups.set(ttl, [[key, value]])
    else group.push([key, value])
  }
  await Promise.all([...groups].map(([ttl, group]) => cache.setMany(group, { ttl })))
}
