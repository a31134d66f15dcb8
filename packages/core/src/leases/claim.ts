import type { Mark } from '../values/mark.ts'

/** What entitles a load to store its value. */
export interface Claim {
  /** Whether another process can end the claim. */
  readonly canBeLost: boolean
  /** Whether the key contains a stale value, which `replace(undefined)` deletes. */
  readonly replacesStale: boolean
  /** Keeps the claim until the returned function is called. Calls `onLost` if it is found to be lost. */
  keepAlive(onLost: () => void): () => void
  /** Stores the value. Returns false if the claim has been lost: nothing is stored then. */
  replace(item: unknown, ttl: number | undefined): Promise<boolean>
  /**
   * Ends the claim without a value. The mark tells other processes why, and is stored for its time. Returns false if the
   * claim may have been lost.
   */
  end(mark?: Mark): Promise<boolean>
}
