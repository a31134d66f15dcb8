import type { Awaitable, CacheStore } from '@stowage/core'

/** The arguments of a conformance case. */
export interface ConformanceContext {
  /** A new store. The caller of the case closes it. */
  readonly store: CacheStore
  /** Lets `ms` milliseconds pass: a real sleep for a server, `clock.advance` for a store on a manual clock. */
  readonly wait: (ms: number) => Awaitable<void>
  /**
   * Whether `wait` moves a manual clock, and nothing else moves it. Then each ttl is checked to the millisecond.
   * Otherwise the cases poll, so that they do not depend on a fast machine or an exact sleep.
   * @default false
   */
  readonly exact?: boolean | undefined
}
