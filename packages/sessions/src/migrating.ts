import { type Cache, CacheError } from '@stowage/core'
import { isCache } from './session-context.ts'
import type { OldSessions, SessionsOptions } from './session-options.ts'
import { Sessions } from './sessions.ts'

export interface MigratingOptions<T extends object> {
  /** Where sessions were stored until now. */
  readonly from: Cache | (Pick<OldSessions, 'keys'> & { readonly cache: Cache })
  /** The options of the sessions from now on. Their cache has another driver or another prefix. */
  readonly to: Omit<SessionsOptions<T>, 'migrateFrom'>
  /** When `from` is read for the last time: a lifetime of sessions from now. Sessions that have not been moved end then. */
  readonly until: Date
}

/**
 * Returns sessions that were stored somewhere else until now: with another driver, under another prefix, or by another
 * library. A session is read where it is, and moved when it is written for the first time, so that nobody is logged out. A
 * session that ends is ended in both places, and is not moved afterwards by a slower request.
 *
 * @example
 * const from = { cache: new Cache(memory(), { prefix: 'sess:' }), keys: 'ids' as const }
 * const until = new Date(Date.now() + 30 * 86_400_000)
 * const moved = migrating({ from, to: { cache }, until })
 * app.use(session({ secret: sessionSecret(process.env), store: moved }))
 */
export function migrating<T extends object = Record<string, unknown>>({
  from,
  to,
  until,
}: MigratingOptions<T>): Sessions<T> {
  const old: Pick<OldSessions, 'cache' | 'keys'> = isCache(from) ? { cache: from } : from
  if (!isCache(old?.cache)) {
    throw new CacheError(
      'ERR_CACHE_CONFIG',
      'migrating: from must be the Cache with the sessions until now, or { cache, keys }.',
    )
  }
  const { keys = 'digests', ...others } = old
  return new Sessions<T>({ ...to, migrateFrom: { ...others, keys, until } })
}
