import type { Cache, Consistency, Duration } from '@stowage/core'

/** Where sessions were stored before. They are moved when they are written for the first time. */
export interface OldSessions {
  /** The cache in which they are. `clear` clears it as well. @default the cache of the sessions */
  readonly cache?: Cache | undefined
  /**
   * Their keys. `'ids'`: as connect-redis and most other stores have them. `'digests'`: those of `Sessions`, for sessions
   * that were stored by this package in another cache. @default 'ids'
   */
  readonly keys?: 'ids' | 'digests' | undefined
  /** When it is read for the last time. Sessions that have not been moved by then end. */
  readonly until: Date
}

export interface SessionsOptions<T extends object = Record<string, unknown>> {
  /** The cache that sessions are stored in. Its prefix separates them from other entries. Use it for nothing else. */
  readonly cache: Cache
  /**
   * Lifetime of a session after its last request. The `originalMaxAge` or `expires` of its `cookie`, if it has one,
   * precedes it. @default the ttl of the cache; without one, 1d if there is no `absoluteTimeout`
   */
  readonly idleTimeout?: Duration | undefined
  /** Lifetime of a session after its beginning, whatever happens. @default none */
  readonly absoluteTimeout?: Duration | undefined
  /**
   * By how much the expiry of an unchanged session has to move before that is written. So most requests that only read
   * need one command, and a session may expire this much earlier. @default a twentieth of its lifetime, 1m at most; none
   * for a lifetime of at most 1m
   */
  readonly touchAfter?: Duration | undefined
  /**
   * What happens if two requests change one session. `'merge'`: both changes are kept; of two changes of one top-level key,
   * the later. `'lastWrite'`: the later request replaces the whole session. `'reject'`: the later one fails with
   * `ERR_CACHE_REJECTED`. A session that has ended is not stored again in either case. @default 'merge'
   */
  readonly concurrency?: 'merge' | 'lastWrite' | 'reject' | undefined
  /**
   * Returns the user of a session. The sessions of each user are listed, for `of` and `destroyAllFor`: a session that its
   * user's list does not contain has ended, also if the list was evicted. A request whose session belongs to another user
   * by the time it is saved does not change it. Return a non-empty string or a finite number, such as an id; `undefined` or
   * `null` for a session without a user. Requires `indexSecret`. @default sessions have no users
   */
  readonly index?: ((session: T) => string | number | null | undefined) | undefined
  /** Hides the users in the keys of the lists. With another secret, all sessions of users end. */
  readonly indexSecret?: string | undefined
  /** Maximum number of sessions of a user. The next login ends the oldest one. @default 100 */
  readonly maxPerUser?: number | undefined
  /**
   * Maximum number of sessions without a user that a process has created. The next one ends the oldest one. So visitors who
   * accept no cookies cannot fill a store of limited size, which would evict the sessions of users. Requires `index`.
   * @default 20000 with `index` on the driver memory, else unlimited
   */
  readonly maxAnonymous?: number | undefined
  /** Maximum size of a session, in bytes of JSON. @default 65536 */
  readonly maxBytes?: number | undefined
  /**
   * Consistency of reads. The next request may reach another process, where a lagging replica would not return a new
   * session yet, and would still return a destroyed one. @default 'strong'
   */
  readonly consistency?: Consistency | undefined
  /** Where sessions were stored before. @default nowhere */
  readonly migrateFrom?: OldSessions | undefined
  /**
   * Whether sessions may get other ids with `rotate`. All processes must agree: then `destroy` also ends what an old id
   * leads to, which costs a read. @default false
   */
  readonly rotation?: boolean | undefined
}
