const daySeconds = 24 * 60 * 60
/** The server reads a larger number as a Unix time: https://github.com/memcached/memcached/blob/master/doc/protocol.txt, "Expiration times" */
const maxRelativeSeconds = 30 * daySeconds
/** The server counts seconds since its start in a signed 32-bit integer. */
const maxUnixTime = 2 ** 31 - 1

/**
 * Converts a ttl in milliseconds to an exptime in whole seconds; 0 for no ttl. One second is added: the server's clock
 * ticks once a second, and an item stored just before a tick, such as a lock, would expire up to a second early.
 */
export function toExptime(ttl: number | undefined): number {
  if (ttl === undefined) return 0
  const seconds = Math.ceil(ttl / 1_000) + 1
  if (seconds <= maxRelativeSeconds) return seconds
  return Math.min(Math.ceil(Date.now() / 1_000) + seconds, maxUnixTime)
}
