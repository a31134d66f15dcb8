/**
 * Interface: `secondaryStorage` of better-auth 1.7 (tested with 1.7.24).
 *
 * Cannot: count on a cache with `encrypted()`, whose counters are not supported; make the list of a user's sessions atomic,
 * because better-auth reads and writes it with two calls. A ttl is in seconds, and one of 0 is over. Failures reject with
 * their `CacheError`.
 */
import type { Cache } from '@stowage/core'
import { conflict, retryOnConflict } from '@stowage/core/driver'
import { viewAsIs } from '@stowage/core/internal'
import { checkCache, textOf } from './support/caches.ts'

/** Stored in place of a session that was revoked. Not JSON, as all values of better-auth are. */
const revoked = '-'
/** Longer than a request that has read the session before may take. */
const revokedMs = 60_000
/** The next request may reach another process. A lagging replica would still have a revoked session. */
const strong = { consistency: 'strong' } as const

/** What better-auth calls, without a `this`. */
export interface BetterAuthStorage {
  get(key: string): Promise<string | null>
  getAndDelete(key: string): Promise<string | null>
  increment(key: string, ttl: number): Promise<number>
  set(key: string, value: string, ttl?: number): Promise<void>
  delete(key: string): Promise<void>
}

/**
 * Returns the secondary storage of a better-auth. A session that was revoked is not stored again by a request that has
 * read it before: for a minute, its key accepts no session.
 *
 * @example
 * import { betterAuth } from 'better-auth'
 *
 * const auth = betterAuth({ secondaryStorage: betterAuthStorage(cache), rateLimit: { storage: 'secondary-storage' } })
 */
export function betterAuthStorage(cache: Cache): BetterAuthStorage {
  checkCache('betterAuthStorage', cache)
  const texts = viewAsIs(cache, 'text')
  const at = (operation: string, key: string) => ({ operation, store: cache.driver, key })
  return {
    async get(key) {
      return returned(await texts.get(key, strong))
    },
    async getAndDelete(key) {
      return returned(await texts.pull(key))
    },
    increment: (key, ttl) => texts.increment(key, 1, { ttl: ttl * 1_000 }),
    async set(key, value, ttl) {
      const options = { ttl: ttl === undefined ? undefined : ttl * 1_000 }
      if (!isSession(key, value)) return texts.set(key, value, options)
      await retryOnConflict(at('set', key), cache.clock, async () => {
        const stored = await texts.snapshot(key)
        if (textOf(stored.value) === revoked) return
        return (await stored.replace(value, options)) ? undefined : conflict
      })
    },
    async delete(key) {
      await retryOnConflict(at('delete', key), cache.clock, async () => {
        const stored = await texts.snapshot(key)
        const value = textOf(stored.value)
        if (value === undefined || value === revoked) return
        const isDone = isSession(key, value)
          ? await stored.replace(revoked, { ttl: revokedMs })
          : await stored.delete()
        return isDone ? undefined : conflict
      })
    },
  }
}

/** The key of a session is its token. Lists, counters and verifications have other keys. */
function isSession(key: string, value: string): boolean {
  try {
    return JSON.parse(value)?.session?.token === key
  } catch {
    return false
  }
}

function returned(value: unknown): string | null {
  const text = textOf(value)
  return text === undefined || text === revoked ? null : text
}
