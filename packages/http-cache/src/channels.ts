import { type Channel, channel } from 'node:diagnostics_channel'

/** The cache has failed, so that a request was answered without it, or an invalidation was not stored. */
export interface HttpCacheErrorEvent {
  /** Name of the cache. */
  readonly cache: string
  /** The key of the response. It may contain what `varyBy` returns. */
  readonly key: string
  readonly error: unknown
}

/**
 * The channels of `node:diagnostics_channel` for responses. Their names begin with `stowage:http:`.
 *
 * @example
 * httpCacheChannels.error.subscribe((event) => {
 *   console.error('answered without the cache:', (event as HttpCacheErrorEvent).error)
 * })
 */
export const httpCacheChannels: Readonly<Record<'error', Channel>> = {
  /** @see HttpCacheErrorEvent */
  error: channel('stowage:http:error'),
}

/** Publishes an error of a cache to {@link httpCacheChannels}. */
export function reportError(cache: string, key: string, error: unknown): void {
  const channel = httpCacheChannels.error
  if (channel.hasSubscribers) channel.publish({ cache, key, error } satisfies HttpCacheErrorEvent)
}
