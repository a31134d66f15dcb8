import { type Channel, channel } from 'node:diagnostics_channel'
import type { CacheOutcome } from './response/cache-status.ts'

/** The cache has failed, so that a request was answered without it, or an invalidation was not stored. */
export interface HttpCacheErrorEvent {
  /** Name of the cache. */
  readonly cache: string
  /** The key of the response. It may contain what `varyBy` returns. */
  readonly key: string
  readonly error: unknown
}

/** A request was answered. */
export interface HttpResponseEvent {
  /** Name of the cache. */
  readonly cache: string
  /**
   * `hit`: with a stored response. `stale`: with one whose time is over. `shared`: with that of another request, which was in
   * flight. `miss`: by the handler, because none was stored. `refresh`: by the handler, because the stored one was stale.
   * `uncached`: by the handler, because the request or its method is not for the cache.
   */
  readonly outcome: 'hit' | 'stale' | 'shared' | 'miss' | 'refresh' | 'uncached'
  /** Whether the response is stored now. */
  readonly isStored: boolean
}

/**
 * The channels of `node:diagnostics_channel` for responses. Their names begin with `stowage:http:`.
 *
 * @example
 * httpCacheChannels.error.subscribe((event) => {
 *   console.error('answered without the cache:', (event as HttpCacheErrorEvent).error)
 * })
 */
export const httpCacheChannels: Readonly<Record<'error' | 'response', Channel>> = {
  /** @see HttpCacheErrorEvent */
  error: channel('stowage:http:error'),
  /** @see HttpResponseEvent */
  response: channel('stowage:http:response'),
}

/** Publishes an error of a cache to {@link httpCacheChannels}. */
export function reportError(cache: string, key: string, error: unknown): void {
  const channel = httpCacheChannels.error
  if (channel.hasSubscribers) channel.publish({ cache, key, error } satisfies HttpCacheErrorEvent)
}

/** Publishes how a request is answered. @param ttl remaining lifetime of a hit in seconds */
export function publishResponse(cache: string, outcome: CacheOutcome, ttl?: number): void {
  const channel = httpCacheChannels.response
  if (!channel.hasSubscribers) return
  const isStored = outcome.stored === true
  channel.publish({ cache, outcome: labelOf(outcome, ttl), isStored } satisfies HttpResponseEvent)
}

function labelOf(
  { hit, collapsed, forwarded }: CacheOutcome,
  ttl = 0,
): HttpResponseEvent['outcome'] {
  if (collapsed) return 'shared'
  if (hit) return ttl < 0 ? 'stale' : 'hit'
  if (forwarded === 'uri-miss' || forwarded === 'vary-miss') return 'miss'
  return forwarded === 'stale' ? 'refresh' : 'uncached'
}
