import { type Channel, channel } from 'node:diagnostics_channel'

/** An event of a session. It contains neither the id nor data of the session. */
export interface SessionEvent {
  /** Name of the cache. */
  readonly cache: string
  /** Key of the session: a digest of its id. */
  readonly key: string
}

export interface DroppedEvent extends SessionEvent {
  /** `'ended'`: the session was destroyed, cleared or has expired. `'identity'`: it belongs to another user now. */
  readonly reason: 'ended' | 'identity'
}

/**
 * The channels of `node:diagnostics_channel` for sessions. Their names begin with `stowage:session:`.
 *
 * @example
 * sessionChannels.dropped.subscribe((event) => {
 *   console.log(`a write was dropped: ${(event as DroppedEvent).reason}`)
 * })
 */
export const sessionChannels: Readonly<
  Record<'created' | 'destroyed' | 'dropped' | 'merged' | 'late', Channel>
> = {
  /** A session was stored for the first time. @see SessionEvent */
  created: channel('stowage:session:created'),
  /** A session was ended by a call, and not by the time. @see SessionEvent */
  destroyed: channel('stowage:session:destroyed'),
  /** A write was dropped, because the session has ended since it was read. @see DroppedEvent */
  dropped: channel('stowage:session:dropped'),
  /** A write was merged with that of another request. @see SessionEvent */
  merged: channel('stowage:session:merged'),
  /** A request has changed its session after its response had begun, so that this was not stored. @see SessionEvent */
  late: channel('stowage:session:late'),
}

/** Publishes an event of a session. */
export function publishSession(
  event: 'created' | 'destroyed' | 'merged' | 'late',
  cache: string,
  key: string,
): void {
  const channel = sessionChannels[event]
  if (channel.hasSubscribers) channel.publish({ cache, key } satisfies SessionEvent)
}
