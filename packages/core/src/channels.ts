import { type Channel, channel } from 'node:diagnostics_channel'

/**
 * An event of a cache, published on `node:diagnostics_channel`. A channel without subscribers costs one check. An
 * event is published in the asynchronous context of the call that caused it, so an `AsyncLocalStorage` can relate it
 * to a request.
 */
export interface CacheEvent {
  /** Name of the cache: its `name` option, or its name in `createCaches`. */
  readonly cache: string
  /** Name of the driver. */
  readonly store: string
  /** The storage key. It may be a session id: hash it before you log it. */
  readonly key: string
}

export interface LoadEvent extends CacheEvent {
  /** Duration of the load, in milliseconds. */
  readonly durationMs: number
}

export interface ErrorEvent extends CacheEvent {
  /** The failure of the store or, where the caller received a stale value instead, of the loader. */
  readonly error: unknown
}

/**
 * The channels of all caches in this process. Their names begin with `stowage:`.
 *
 * @example
 * channels.miss.subscribe((event) => {
 *   const { cache, store } = event as CacheEvent
 *   console.log(`miss in ${cache} (${store})`)
 * })
 */
export const channels: Readonly<
  Record<'hit' | 'miss' | 'shared' | 'corrupt' | 'load' | 'error', Channel>
> = {
  /** A read found a value. @see CacheEvent */
  hit: channel('stowage:hit'),
  /** A read found no value. @see CacheEvent */
  miss: channel('stowage:miss'),
  /** A call of `remember` received the value of a load that another call or process had begun. @see CacheEvent */
  shared: channel('stowage:shared'),
  /** A read found a payload that the codec cannot decode. It counts as a miss. @see CacheEvent */
  corrupt: channel('stowage:corrupt'),
  /** A load of `remember` ended. @see LoadEvent */
  load: channel('stowage:load'),
  /** The store or a loader failed, and `remember` returned a value nevertheless. @see ErrorEvent */
  error: channel('stowage:error'),
}
