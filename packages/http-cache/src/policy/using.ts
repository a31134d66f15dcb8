import { type Directives, secondsOf } from '../headers/cache-control.ts'
import type { Freshness } from './storing.ts'

/** How a stored response may be used for a request. */
export type Use =
  /** It is sent. */
  | 'fresh'
  /** It is sent, and refreshed at the same time (RFC 5861 section 3). */
  | 'stale'
  /** It is sent only if the handler fails, or validated by the handler. */
  | 'validate'

/** The current age of a stored response, in seconds (RFC 9111 section 4.2.3). @param storedAt, now epoch milliseconds */
export function ageOf(freshness: Freshness, storedAt: number, now: number): number {
  return freshness.initialAge + Math.max(0, now - storedAt) / 1_000
}

/** @param directives of the request, empty if they are ignored */
export function useOf(freshness: Freshness, age: number, directives: Directives): Use {
  const { lifetime, staleWhileRevalidate } = freshness
  const staleFor = age - lifetime
  if (!isAcceptable(freshness, age, directives)) return 'validate'
  if (staleFor < 0) return 'fresh'
  const argument = directives.get('max-stale')
  const maxStale = argument === true ? Infinity : secondsOf(argument)
  if (maxStale !== undefined && freshness.mayBeStale && staleFor <= maxStale) return 'fresh'
  return staleFor < staleWhileRevalidate ? 'stale' : 'validate'
}

/** Whether a request accepts a stored response of this age (RFC 9111 section 5.2.1). */
function isAcceptable({ lifetime }: Freshness, age: number, directives: Directives): boolean {
  if (directives.has('no-cache')) return false
  const maxAge = secondsOf(directives.get('max-age'))
  if (maxAge !== undefined && (age > maxAge || maxAge === 0)) return false
  const minFresh = secondsOf(directives.get('min-fresh'))
  return minFresh === undefined || lifetime - age >= minFresh
}

/** Whether a stale response may be sent because the handler has failed (RFC 5861 section 4). */
export function mayReplaceError({ lifetime, staleIfError }: Freshness, age: number): boolean {
  return staleIfError > 0 && age - lifetime < staleIfError
}
