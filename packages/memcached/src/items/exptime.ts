const day = 24 * 60 * 60
/** A larger number is taken for a date: https://github.com/memcached/memcached/blob/master/doc/protocol.txt, "Expiration times" */
const longestSpan = 30 * day

/**
 * A ttl as the server takes it: whole seconds, 0 for none. The server counts with a clock that ticks once a second, so
 * the second under way must not count: an item would end up to a second too early, and a lock with it.
 */
export function expiryOf(ttl: number | undefined): number {
  if (ttl === undefined) return 0
  const seconds = Math.ceil(ttl / 1_000) + 1
  if (seconds <= longestSpan) return seconds
  return Math.min(Math.ceil(Date.now() / 1_000) + seconds, latest)
}

/** Dates are unsigned numbers of 32 bits; the server counts seconds since its start in as many, signed. */
const latest = 2 ** 31 - 1
