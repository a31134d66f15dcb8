import { type Channel, channel } from 'node:diagnostics_channel'

/**
 * What happens in a cache, on `node:diagnostics_channel`. A channel nobody listens to costs one check. An event is
 * published in the asynchronous context of the call it tells of, so an `AsyncLocalStorage` ties it to its request.
 *
 *     import { subscribe } from 'node:diagnostics_channel'
 *     subscribe('stowage:hit', (event) => …)
 *
 * `key` is the storage key. It may be a session id: hash it before you log it.
 */
export interface CacheEvent {
  /** Name of the cache, as given to it or to `createCaches`. */
  readonly cache: string
  /** Name of the driver behind it. */
  readonly store: string
  readonly key: string
}

export interface LoadEvent extends CacheEvent {
  /** How long the loader took, in milliseconds. */
  readonly durationMs: number
}

export interface ErrorEvent extends CacheEvent {
  /** What a caller of `remember` was spared: the store failed, the loader's value was returned. */
  readonly error: unknown
}

export const channels: Readonly<
  Record<'hit' | 'miss' | 'shared' | 'corrupt' | 'load' | 'error', Channel>
> = {
  /** A value was found. @see CacheEvent */
  hit: channel('stowage:hit'),
  /** Nothing was found. @see CacheEvent */
  miss: channel('stowage:miss'),
  /** A caller of `remember` waits for a load under way, without a look of its own. @see CacheEvent */
  shared: channel('stowage:shared'),
  /** Something was found that is no payload of ours; it counts as a miss. @see CacheEvent */
  corrupt: channel('stowage:corrupt'),
  /** A loader of `remember` ran. @see LoadEvent */
  load: channel('stowage:load'),
  /** `remember` went on without the store. @see ErrorEvent */
  error: channel('stowage:error'),
}
