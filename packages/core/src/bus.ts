import type { Awaitable } from './store.ts'

/**
 * Told of each change: the storage keys whose entries have changed, or `undefined` when anything may have. It is not
 * awaited, and what it throws neither reaches the bus nor keeps the other listeners from being told.
 */
export type InvalidationListener = (keys: readonly string[] | undefined) => void

/**
 * How the processes in front of one store tell each other that entries have changed, so that none goes on serving a
 * copy of its own. A change is told at least once, in no particular order and with no promise of a time: whoever keeps
 * copies gives them a ttl of their own as well.
 *
 * What a keeper of copies has to do with it:
 * - Serve no copy while {@link connected} is false.
 * - Keep no answer of the store that was asked for before a change of its key was told: it may be the old value.
 * - Treat what this process changes itself on its own: a bus may tell of that too, or not.
 */
export interface InvalidationBus {
  /**
   * Whether changes are heard of now. Listeners are told `undefined` each time it ends, and once it holds again, for
   * what has been missed in between.
   */
  readonly connected: boolean

  /**
   * Tells the other processes that the entries under these storage keys have changed. To be called once the store has
   * answered, or has failed: a change that was reported as failed may have been carried out. A bus that learns of
   * changes from the server itself has nothing to do.
   *
   * It fails at once when nobody can be told, with a `CacheError`. Then the others are told that anything may have
   * changed as soon as they can be reached again.
   */
  publish(keys: readonly string[]): Awaitable<void>

  /**
   * Has `listener` told of changes, until the function it resolves to is called. Resolves when listening; after that
   * no change is missed without an `undefined`. Rejects with a `CacheError`, and forgets the listener, when listening
   * does not begin in time; to be called again then.
   */
  subscribe(listener: InvalidationListener): Promise<() => void>

  /**
   * Sends what has been published, tells the listeners `undefined` for the last time, then lets go of the
   * connections. Idempotent. Every later call fails with `ERR_CACHE_CLOSED`.
   */
  close(): Promise<void>
}
