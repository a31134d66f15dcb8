import type { CacheStore } from '../store.ts'

/** How a cache takes part in the return of a primary store. */
export interface StoreRecovery {
  /** Whether the primary store replies, and is the only one that is used. */
  readonly isPrimary: boolean
  /**
   * Registers how a cache clears its prefix. It is called after an outage in which more keys were changed than the journal
   * holds.
   */
  onOverflow(prefix: string, clear: () => Promise<void>): void
  /**
   * Registers a listener for keys that are read from the primary store again, `undefined` for all: what was read of them
   * before may be a value of the fallback store that other processes have not changed.
   */
  onSettled(listener: (keys: readonly string[] | undefined) => void): void
  /** Call it when a prefix is about to be cleared by listing and deleting its keys. */
  noteClear(prefix: string): void
}

/** A store that may have used another one during an outage. Wrappers of such a store have the same members. */
export interface RecoverableStore {
  readonly primary?: CacheStore | undefined
  readonly recovery?: StoreRecovery | undefined
}

/** Returns how a cache takes part in the return of the primary store; `undefined` for a store without a fallback. */
export function recoveryOf(store: unknown): StoreRecovery | undefined {
  return (store as RecoverableStore).recovery
}
