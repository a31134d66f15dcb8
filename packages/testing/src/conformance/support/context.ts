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
  /** Creates a further store, which the case closes. `conform` passes its own. Without it, some rules are not checked. */
  readonly createStore?: (() => Awaitable<CacheStore>) | undefined
  /**
   * Whether all stores that `createStore` creates use one backend, as on a server. Then the rules for several
   * processes are checked with two stores.
   * @default detected: whether a second store reads what the first has written
   */
  readonly sharedBackend?: boolean | undefined
  /**
   * Makes the backend unreachable until `restoreBackend` is called, for example by stopping the server with SIGSTOP.
   * The group `outage` needs both.
   */
  readonly breakBackend?: (() => Awaitable<void>) | undefined
  readonly restoreBackend?: (() => Awaitable<void>) | undefined
  /**
   * Milliseconds within which every call settles while the backend is unreachable: the deadline of the store, and a
   * tolerance for a slow machine. Time for which the process could not run does not count.
   * @default 10_000
   */
  readonly deadlineMs?: number | undefined
}
