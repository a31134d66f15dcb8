import type { Cache, Clock, Consistency } from '@stowage/core'
import type { Lifetime } from './data/lifetime.ts'
import type { OldSessions } from './session-options.ts'
import type { AnonymousSessions } from './users/anonymous-sessions.ts'
import type { SessionUsers } from './users/session-users.ts'

/** The options of `Sessions`, checked, and what is made from them, for all of its parts. */
export interface SessionContext {
  readonly cache: Cache
  /** That of the cache. */
  readonly clock: Clock
  readonly lifetime: Lifetime
  /** `undefined` if sessions have no users. */
  readonly users: SessionUsers | undefined
  /** `undefined` if they are not bounded. */
  readonly anonymous: AnonymousSessions | undefined
  readonly maxBytes: number
  readonly concurrency: 'merge' | 'lastWrite' | 'reject'
  readonly consistency: Consistency
  /** Whether sessions may get other ids. */
  readonly rotates: boolean
  readonly migrateFrom: OldSessions | undefined
}
