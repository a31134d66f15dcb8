import type { ServerResponse } from 'node:http'
import type { Refusal } from '../policy/storing.ts'

/** Why the handler was called (RFC 9211 section 2.2). */
export type ForwardReason = 'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'request' | 'stale'

/** How a request was answered (RFC 9211). */
export interface CacheOutcome {
  readonly hit?: boolean
  readonly forwarded?: ForwardReason
  /** The status of the handler's response, if another one is sent. */
  readonly forwardStatus?: number
  readonly stored?: boolean
  /** Whether the response is that of another request, which was in flight. */
  readonly collapsed?: boolean
  readonly detail?: Refusal | 'store-failure' | `request-${string}` | undefined
}

/** Longer details are cut off. */
const maxDetail = 100

/** Adds a member to the header `Cache-Status`. */
export function setCacheStatus(response: ServerResponse, text: string | undefined): void {
  if (text === undefined) return
  const existing = response.getHeader('cache-status')
  const value = existing === undefined ? text : `${[existing].flat().join(', ')}, ${text}`
  response.setHeader('Cache-Status', value)
}

/**
 * Returns the member of the header for one cache. `name` is a token. @param ttl of a hit: the remaining
 * lifetime in seconds, negative for a stale response @param key if it is shown
 */
export function formatCacheStatus(
  name: string,
  outcome: CacheOutcome,
  ttl?: number,
  key?: string,
): string {
  const { hit, forwarded, forwardStatus, stored, collapsed, detail } = outcome
  let text = name
  if (hit) text += '; hit'
  else if (forwarded !== undefined) text += `; fwd=${forwarded}`
  if (forwardStatus !== undefined) text += `; fwd-status=${forwardStatus}`
  if (ttl !== undefined) text += `; ttl=${Math.floor(ttl)}`
  if (stored) text += '; stored'
  if (collapsed) text += '; collapsed'
  if (key !== undefined) text += `; key="${key.replaceAll(/[^\x20-\x7e]|["\\]/g, '')}"`
  if (detail !== undefined) text += `; detail=${tokenOf(detail)}`
  return text
}

/** Handlers choose names that they read, such as that of a cookie: it may contain anything. */
function tokenOf(detail: string): string {
  return detail.slice(0, maxDetail).replaceAll(/[^\w:/.!#$%&'*+^`|~-]/g, '_')
}
