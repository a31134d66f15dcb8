import type { Awaitable } from './store.ts'

/**
 * Receives the storage keys whose entries have changed, or `undefined` if any entry may have changed. The bus does not
 * await it. An error that it throws affects neither the bus nor the other listeners.
 */
export type InvalidationListener = (keys: readonly string[] | undefined) => void

/**
 * Notifies the processes that share a store about changed entries, so that none of them keeps serving an outdated
 * in-process copy. Each change is delivered at least once, in no particular order and without a bound on the delay:
 * in-process copies need a ttl as well.
 *
 * Rules for a process that keeps copies:
 * - Serve no copy while {@link connected} is false.
 * - Do not keep the result of a read that began before a change of its key was delivered: it may be the old value.
 * - Invalidate the copies that this process changes itself: a bus may or may not deliver its own changes.
 *
 * @example
 * const bus: InvalidationBus = redisBus({ url: 'redis://127.0.0.1:6379' })
 * const copies = new Map<string, unknown>()
 * await bus.subscribe((keys) => {
 *   if (keys === undefined) copies.clear()
 *   else for (const key of keys) copies.delete(key)
 * })
 * await bus.publish(['cache:user:1'])
 */
export interface InvalidationBus {
  /**
   * Whether the bus is connected. Listeners are called with `undefined` when the connection is lost and after each
   * reconnect, because changes may have been missed in between.
   */
  readonly connected: boolean

  /**
   * Notifies the other processes that the entries under these storage keys have changed. Call it after the write has
   * succeeded or failed: a failed write may have been executed. Does nothing on a bus that receives changes from the
   * server itself.
   *
   * Fails immediately with a `CacheError` if the bus is disconnected. After the reconnect, the other processes are
   * notified that any entry may have changed.
   */
  publish(keys: readonly string[]): Awaitable<void>

  /**
   * Subscribes `listener` to invalidations. Resolves to a function that unsubscribes. After it has resolved, a missed
   * change is always followed by an `undefined`. Rejects with a `CacheError` and removes the listener if the
   * subscription is not confirmed before the timeout; call it again to retry.
   */
  subscribe(listener: InvalidationListener): Promise<() => void>

  /**
   * Sends pending changes, calls the listeners with `undefined` for the last time and closes the connections.
   * Idempotent. Every later call fails with `ERR_CACHE_CLOSED`.
   */
  close(): Promise<void>
}
