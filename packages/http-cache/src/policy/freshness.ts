// Lifetime, age and use of stored responses: RFC 9111 section 4.2, and RFC 5861.
import { type Duration, milliseconds } from '@stowage/core'
import {
  type Directives,
  isMalformed,
  maxSeconds,
  parseCacheControl,
  secondsOf,
} from '../headers/cache-control.ts'
import { type Headers, textOf } from '../headers/header-list.ts'
import { parseHttpDate } from '../headers/http-date.ts'
import { parseTargeted } from '../headers/structured-fields.ts'

/** How a response may be used once it is stored. Durations in seconds. */
export interface Freshness {
  readonly lifetime: number
  /** The age of the response when it was received. */
  readonly initialAge: number
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  /** Whether it may be sent stale to clients that accept that (RFC 9111 section 4.2.4). */
  readonly mayBeStale: boolean
  /** Whether the response may answer requests with `Authorization` (RFC 9111 section 3.5). */
  readonly isShared: boolean
  /** Names of headers that are not sent with hits: those of `no-cache="…"`. */
  readonly omitted: readonly string[]
}

/** Converts a duration to seconds. `Infinity` becomes the longest lifetime, because JSON does not represent it. */
export function toSeconds(duration: Duration): number {
  return Math.min(milliseconds(duration) / 1_000, maxSeconds)
}

/** The share of the time since the last change for which a response is fresh without a lifetime of its own. */
const heuristicShare = 0.1

/**
 * The lifetime that a response states, in seconds (RFC 9111 section 4.2.1): of a targeted field, `s-maxage`, `max-age`,
 * or `Expires`. `undefined` if it states none.
 */
export function explicitLifetime(
  headers: Headers,
  { directives, isTargeted }: ResponseDirectives,
  now: number,
): number | undefined {
  const stated = secondsOf(directives.get('s-maxage')) ?? secondsOf(directives.get('max-age'))
  if (stated !== undefined) return stated
  const expires = headers.expires
  if (isTargeted || expires === undefined) return undefined
  // An invalid date, or several of them, is in the past (RFC 9111 section 5.3).
  const date = typeof expires === 'string' ? parseHttpDate(expires, now) : undefined
  if (date === undefined) return 0
  return Math.max(0, (date - (parseHttpDate(textOf(headers.date), now) ?? now)) / 1_000)
}

/** The lifetime of a response that states none, in seconds (RFC 9111 section 4.2.2). */
export function heuristicLifetime(headers: Headers, now: number): number {
  const changed = parseHttpDate(textOf(headers['last-modified']), now)
  return changed === undefined ? 0 : Math.max(0, ((now - changed) / 1_000) * heuristicShare)
}

/** The age of a response when it was received, in seconds (RFC 9111 section 4.2.3). */
export function initialAge(headers: Headers, now: number): number {
  const text = textOf(headers.age)?.split(',')[0]?.trim() ?? ''
  const stated = /^\d+$/.test(text) ? Number(text) : 0
  const date = parseHttpDate(textOf(headers.date), now)
  return Math.max(stated, date === undefined ? 0 : Math.max(0, (now - date) / 1_000))
}

/** Whether a stale response must not be used (RFC 9111 section 4.2.4). */
export function forbidsStale(directives: Directives): boolean {
  return (
    directives.has('must-revalidate') ||
    directives.has('proxy-revalidate') ||
    directives.has('s-maxage') ||
    directives.get('no-cache') === true
  )
}

/** The directives of a response that apply to this cache. */
export interface ResponseDirectives {
  readonly directives: Directives
  /** Whether they come from a targeted field, which replaces `Cache-Control` and `Expires` (RFC 9213 section 2.2). */
  readonly isTargeted: boolean
  /** Whether a part of them could not be parsed, which may be one that forbids to store the response. */
  readonly isMalformed: boolean
}

/** @param targeted names of the targeted fields that this cache obeys, the first one that is valid counts */
export function directivesOf(headers: Headers, targeted: readonly string[]): ResponseDirectives {
  for (const name of targeted) {
    const directives = parseTargeted(textOf(headers[name]))
    if (directives !== undefined) return { directives, isTargeted: true, isMalformed: false }
  }
  const value = textOf(headers['cache-control'])
  return {
    directives: parseCacheControl(value),
    isTargeted: false,
    isMalformed: isMalformed(value),
  }
}

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
