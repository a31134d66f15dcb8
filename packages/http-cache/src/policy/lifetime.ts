import { type Directives, secondsOf } from '../headers/cache-control.ts'
import { type Headers, textOf } from '../headers/header-list.ts'
import { parseHttpDate } from '../headers/http-date.ts'
import type { ResponseDirectives } from './directives.ts'

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
  const [first] = [headers.age ?? []].flat().join(',').split(',')
  const text = first?.trim() ?? ''
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
