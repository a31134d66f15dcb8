import type { Awaitable } from '../store.ts'
import type { Duration } from '../time/duration.ts'

/** What is changed in the source. */
export interface ChangedNames {
  /** Keys of the cache on which `changing` is called. */
  readonly keys?: readonly string[] | undefined
  /** Tags, of the entries in all namespaces. */
  readonly tags?: readonly string[] | undefined
}

/** What `cache.changing` marks before the work begins, and how. */
export interface ChangeOptions extends ChangedNames {
  /**
   * How long a mark stands that is not renewed, because the process has ended or the backend is unreachable; that of a tag
   * at most twice as long. Marks are renewed after a third of it. The transaction must not be committed later: see `Change.assertHeld`. @default '30s'
   */
  readonly for?: Duration | undefined
  /**
   * What happens if a mark cannot be stored. `'reject'`: the call rejects, and the work does not begin. `'proceed'`: the work
   * runs without the mark, the failure is published on `stowage:error`, and at the end the key is deleted, or the tag
   * invalidated. @default 'reject'
   */
  readonly ifUnavailable?: 'reject' | 'proceed' | undefined
}

/** A change in progress, as its work receives it. */
export interface Change {
  /**
   * Marks further keys and tags. Resolves when the marks are stored: make the statement that changes them after that. All
   * calls of one turn of the event loop take the same round trips.
   *
   * @throws CacheError if a mark cannot be stored and `ifUnavailable` is `'reject'`; Error after the work has ended
   */
  mark(what: ChangedNames): Promise<void>
  /**
   * Throws if a mark may expire within a third of `for`: the process was suspended, or the backend unreachable. Call it as
   * the last statement of a transaction, so that it is rolled back then. Does nothing if `ifUnavailable` is `'proceed'`.
   *
   * @throws CacheError `ERR_CACHE_TIMEOUT`, retryable
   */
  assertHeld(): void
}

/** The work during which keys and tags are marked, usually a transaction. */
export type ChangeWork<T> = (change: Change) => Awaitable<T>
