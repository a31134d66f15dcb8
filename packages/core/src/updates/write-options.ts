import type { Ttl } from '../time/duration.ts'

export interface WriteOptions {
  /** Time to live of the entry. @default the cache's ttl */
  readonly ttl?: Ttl | undefined
  /** Tags of the value. `invalidateTags` for one of them makes it a miss. @default none */
  readonly tags?: readonly string[] | undefined
}
