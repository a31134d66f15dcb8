import type { Ttl } from '../time/duration.ts'

/** Options of a write that stores no tags. */
export interface TtlOptions {
  /** Time to live of the entry. @default the cache's ttl */
  readonly ttl?: Ttl | undefined
}

export interface WriteOptions extends TtlOptions {
  /** Tags of the value. `invalidateTags` for one of them makes it a miss. @default none */
  readonly tags?: readonly string[] | undefined
}
