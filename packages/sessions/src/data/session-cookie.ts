import { isJsonObject, isSameJson, type JsonObject } from './json-object.ts'

/** A framework renews the expiry a moment before it saves the session. */
const renewedLatelyMs = 100

/** RFC 6265, 4.1.1: no control character, and no semicolon. */
export const attributeText: RegExp = /^[\x20-\x3a\x3c-\x7e]*$/
/** Half of the time that a `Date` can have, so that now and a lifetime have a date, in milliseconds. */
const maxLifetimeMs = 4.32e15
const sameSites = /^(?:lax|strict|none|auto)$/i
const priorities = /^(?:low|medium|high)$/i

/** The cookie of a session as it is stored, for example by express-session. */
export type SessionCookie = JsonObject & {
  /** Lifetime of the session after each request, in milliseconds. */
  readonly originalMaxAge?: number | null | false
  /** When the cookie expires. A text after a round trip through JSON. */
  readonly expires?: string | Date | null | false
}

/**
 * Whether a stored value is a cookie that a session framework accepts. Otherwise express-session would throw an error in
 * every request that uses the session.
 */
export function isSessionCookie(value: unknown): value is SessionCookie {
  if (!isJsonObject(value)) return false
  const { originalMaxAge, expires, maxAge, path, domain, sameSite, priority } = value
  return (
    isLifetimeOrNone(originalMaxAge) &&
    isDateOrNone(expires) &&
    maxAge === undefined &&
    isOneOf(path, attributeText) &&
    isOneOf(domain, attributeText) &&
    (sameSite === true || isOneOf(sameSite, sameSites)) &&
    isOneOf(priority, priorities)
  )
}

/** @throws TypeError for a cookie with which the session could not be read again */
export function checkCookie(cookie: unknown): void {
  if (cookie === undefined || isSessionCookie(cookie)) return
  throw new TypeError(
    'The key "cookie" of a session must be a cookie as express-session stores it: { originalMaxAge, expires, … }. Use ' +
      'another key for anything else.',
  )
}

/**
 * The lifetime that a cookie gives its session, in milliseconds, negative if the application has ended the session;
 * `undefined` if it has none. `originalMaxAge` is preferred to `expires`, which frameworks renew only at the end of a
 * request: a session that is saved by hand still has that of its last save.
 */
export function lifetimeOf(cookie: SessionCookie | undefined, now: number): number | undefined {
  const originalMaxAge = cookie?.originalMaxAge
  if (typeof originalMaxAge === 'number') return originalMaxAge
  const remaining = timeOf(cookie?.expires) - now
  return Number.isNaN(remaining) ? undefined : remaining
}

/** The cookie of `ours` if it has other attributes than `base`, and else that of `theirs`. */
export function mergeCookies(
  base: SessionCookie | undefined,
  ours: SessionCookie | undefined,
  theirs: SessionCookie | undefined,
): SessionCookie | undefined {
  return haveSameAttributes(base, ours) ? mergeExpiry(base, ours, theirs) : ours
}

/** The cookie of `theirs`, if `ours` has the attributes of `base`. */
export function mergeExpiry(
  base: SessionCookie | undefined,
  ours: SessionCookie | undefined,
  theirs: SessionCookie | undefined,
): SessionCookie | undefined {
  // An expiry that does not slide was moved by the application.
  const isMoved = !isSliding(theirs) && timeOf(ours?.expires) !== timeOf(base?.expires)
  return isMoved && theirs !== undefined ? { ...theirs, expires: ours?.expires ?? null } : theirs
}

/** Whether two cookies differ in no more than the moment at which they expire. */
export function haveSameAttributes(
  a: SessionCookie | undefined,
  b: SessionCookie | undefined,
): boolean {
  if (a === b) return true
  if (a === undefined || b === undefined || Boolean(a.expires) !== Boolean(b.expires)) return false
  return includesAttributes(a, b) && includesAttributes(b, a)
}

/** The cookie with its expiry moved, if that slides with each request. `expires` in epoch milliseconds. */
export function withExpiry(
  cookie: SessionCookie | undefined,
  expires: number,
): SessionCookie | undefined {
  if (cookie === undefined || !isSliding(cookie)) return cookie
  const isCurrent = Math.abs(timeOf(cookie.expires) - expires) < renewedLatelyMs
  return isCurrent ? cookie : { ...cookie, expires: new Date(expires).toISOString() }
}

/** Whether each request moves the expiry. */
function isSliding(cookie: SessionCookie | undefined): boolean {
  return Number(cookie?.originalMaxAge ?? 0) > 0
}

/** Epoch milliseconds, or `NaN` for a cookie without an expiry. */
export function timeOf(expires: unknown): number {
  return expires ? new Date(expires as string).getTime() : Number.NaN
}

function includesAttributes(cookie: SessionCookie, others: SessionCookie): boolean {
  for (const name in others) {
    // @fastify/session repeats the expiry that it has read.
    if (name === 'expires' || name === 'originalExpires') continue
    if (!isSameJson(cookie[name], others[name])) return false
  }
  return true
}

function isLifetimeOrNone(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true
  return typeof value === 'number' && Math.abs(value) <= maxLifetimeMs
}

function isDateOrNone(value: unknown): boolean {
  return !value || !Number.isNaN(timeOf(value))
}

function isOneOf(value: unknown, pattern: RegExp): boolean {
  return !value || (typeof value === 'string' && pattern.test(value))
}
