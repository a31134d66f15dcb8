import type { Keyspace } from '../keys.ts'
import type { BackendTime } from '../time/backend-time.ts'
import type { Clock } from '../time/clock.ts'
import type { AnyStore } from '../values/entry-codec.ts'

/** Where limits are counted. */
export interface LimitStore {
  readonly store: AnyStore
  readonly keys: Keyspace
  readonly time: BackendTime
  readonly clock: Clock
  /** How much longer than needed counters are kept, in milliseconds. */
  readonly slackMs: number
}

/**
 * For how long a request may be on its way to the backend, in milliseconds: longer than the deadlines of most stores. A
 * request that arrives after its counter has expired would start at zero again.
 */
export const maxInFlightMs = 10_000
