import type { Snapshot } from '@stowage/core'
import type { StoredSession } from '../data/session-item.ts'
import type { SeenIndex } from './user-index.ts'

/** A session in the store, with the right to replace it. */
export interface SeenSession {
  /** Its key: after a rotation, not that of the old id, with which it was read. */
  readonly key: string
  readonly stored: StoredSession
  readonly snapshot: Snapshot<unknown>
  /** Whether it is stored where sessions are moved from. */
  readonly isOld: boolean
  /** The list of its user that was read with it. */
  readonly index?: SeenIndex | undefined
}
