import type { Awaitable, CacheStore } from '@stowage/core'

/** What a case is run with. */
export interface ConformanceContext {
  /** A fresh store. The case does not close it, unless closing is what it is about. */
  readonly store: CacheStore
  /** Lets time pass for the store: a real sleep for a server, `clock.advance` for a store on a manual clock. */
  readonly wait: (ms: number) => Awaitable<void>
  /**
   * Whether `wait` moves a manual clock, the only thing that moves it. Then every ttl is checked to the
   * millisecond; otherwise nothing depends on the machine being fast or a sleep being exact.
   * @default false
   */
  readonly exact?: boolean | undefined
}
