import { type Directives, fieldsOf, listOf, secondsOf } from '../headers/cache-control.ts'
import { type Headers, isEventStream, textOf } from '../headers/header-list.ts'
import {
  directivesOf,
  explicitLifetime,
  type Freshness,
  forbidsStale,
  heuristicLifetime,
  initialAge,
  type ResponseDirectives,
} from './freshness.ts'

/** Why a response is not stored. It is the `detail` of `Cache-Status`. */
export type Refusal =
  | 'private'
  | 'no-store'
  | 'no-cache'
  | 'set-cookie'
  | 'vary-star'
  | 'malformed'
  | 'authorization'
  | 'status'
  | 'partial'
  | 'incomplete'
  | 'too-large'
  | 'event-stream'
  | 'not-fresh'
  | 'too-many-variants'
  | 'request'
  | 'excluded'
  | 'no-vary-search'
  | 'self-redirect'
  /** The handler has read something that the key does not cover. */
  | `read-${string}`

/** What determines whether a response is stored, and for how long it is fresh. */
export interface StoringRules {
  readonly mode: 'ttl' | 'rfc9111'
  /** In mode `ttl`, in seconds. */
  readonly ttl: number | undefined
  /** In seconds, unless the response states it in mode `rfc9111`. */
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  readonly targeted: readonly string[]
  readonly heuristic: boolean
}

export type Verdict =
  | { readonly freshness: Freshness; readonly refusal?: undefined }
  | { readonly freshness?: undefined; readonly refusal: Refusal }

export interface JudgedResponse {
  readonly status: number
  readonly headers: Headers
}

/** Statuses that may be fresh without a stated lifetime (RFC 9110 section 15.1). */
const heuristicStatuses = new Set([200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
/** The statuses that a ttl applies to. Errors need a lifetime of their own. */
const ttlStatuses = new Set([200, 203, 204, 300, 301, 308])
/** Final statuses whose meaning for caches is known (RFC 9111 section 5.2.2.3). */
const understood = new Set([
  200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 414, 451, 500, 501,
  502, 503, 504,
])

const fieldName = /^[\w!#$%&'*+.^`|~-]+$/

/** Decides whether a complete response may be stored. @param now epoch milliseconds */
export function judge(
  response: JudgedResponse,
  hasAuthorization: boolean,
  rules: StoringRules,
  now: number,
): Verdict {
  const { headers } = response
  const stated = directivesOf(headers, rules.targeted)
  const refusal = refusalOf(response, stated, hasAuthorization, rules)
  if (refusal !== undefined) return { refusal }
  return rules.mode === 'ttl'
    ? judgeByTtl(response, stated, rules, now)
    : judgeByResponse(response, stated, rules, now)
}

/** What forbids storing in both modes. */
function refusalOf(
  { status, headers }: JudgedResponse,
  { directives, isMalformed }: ResponseDirectives,
  hasAuthorization: boolean,
  rules: StoringRules,
): Refusal | undefined {
  if (headers['set-cookie'] !== undefined) return 'set-cookie'
  if (directives.has('private')) return 'private'
  if (isForbidden(status, directives)) return 'no-store'
  const vary = listOf(textOf(headers.vary))
  if (vary.includes('*')) return 'vary-star'
  // What was meant is unknown: two directives or names without a comma between them, for example.
  if (isMalformed || !vary.every((name) => fieldName.test(name))) return 'malformed'
  if (status === 206) return 'partial'
  if (status < 200 || status === 304 || status > 599) return 'status'
  if (isEventStream(textOf(headers['content-type']))) return 'event-stream'
  if (hasAuthorization && rules.mode === 'rfc9111' && !isSharedByResponse(directives))
    return 'authorization'
  return undefined
}

/** With `must-understand`, `no-store` applies only to caches that do not know the status (RFC 9111 section 5.2.2.3). */
function isForbidden(status: number, directives: Directives): boolean {
  return directives.has('must-understand') ? !understood.has(status) : directives.has('no-store')
}

/** RFC 9111 section 3.5. */
function isSharedByResponse(directives: Directives): boolean {
  return directives.has('public') || directives.has('s-maxage') || directives.has('must-revalidate')
}

/** The route determines the lifetime. The response may only shorten it. */
function judgeByTtl(
  { status, headers }: JudgedResponse,
  stated: ResponseDirectives,
  rules: StoringRules,
  now: number,
): Verdict {
  const { directives } = stated
  if (directives.get('no-cache') === true) return { refusal: 'no-cache' }
  const explicit = explicitLifetime(headers, stated, now)
  if (!ttlStatuses.has(status) && explicit === undefined) return { refusal: 'status' }
  const age = initialAge(headers, now)
  // Of a response that another cache has sent, the ttl begins when it is received.
  const lifetime = Math.min(age + (rules.ttl ?? 0), explicit ?? Infinity)
  if (lifetime <= age) return { refusal: 'not-fresh' }
  const mayBeStale = !forbidsStale(directives)
  return {
    freshness: {
      lifetime,
      initialAge: age,
      staleWhileRevalidate: mayBeStale ? rules.staleWhileRevalidate : 0,
      staleIfError: mayBeStale ? rules.staleIfError : 0,
      mayBeStale,
      isShared: true,
      omitted: fieldsOf(directives.get('no-cache')),
    },
  }
}

/** The response determines the lifetime, as for a shared cache (RFC 9111 section 3). */
function judgeByResponse(
  { status, headers }: JudgedResponse,
  stated: ResponseDirectives,
  rules: StoringRules,
  now: number,
): Verdict {
  const { directives } = stated
  const isHeuristic = heuristicStatuses.has(status) || directives.has('public')
  const explicit = explicitLifetime(headers, stated, now)
  if (explicit === undefined && !isHeuristic) return { refusal: 'status' }
  const mustValidate = directives.get('no-cache') === true
  const found = explicit ?? (rules.heuristic ? heuristicLifetime(headers, now) : 0)
  const lifetime = mustValidate ? 0 : found
  const mayBeStale = !forbidsStale(directives)
  const windowOf = (name: string, otherwise: number) =>
    mayBeStale ? (secondsOf(directives.get(name)) ?? otherwise) : 0
  const staleWhileRevalidate = windowOf('stale-while-revalidate', rules.staleWhileRevalidate)
  const staleIfError = windowOf('stale-if-error', rules.staleIfError)
  const hasUse = lifetime > 0 || staleWhileRevalidate > 0 || staleIfError > 0
  if (!hasUse && !hasValidator(headers)) return { refusal: 'not-fresh' }
  return {
    freshness: {
      lifetime,
      initialAge: initialAge(headers, now),
      staleWhileRevalidate,
      staleIfError,
      mayBeStale,
      isShared: isSharedByResponse(directives),
      omitted: fieldsOf(directives.get('no-cache')),
    },
  }
}

/** Whether a stale response can be validated. */
export function hasValidator(headers: Headers): boolean {
  return headers.etag !== undefined || headers['last-modified'] !== undefined
}
