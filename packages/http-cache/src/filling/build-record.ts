import { createHash } from 'node:crypto'
import type { RenderFacts } from '../exchange/renderer.ts'
import { listOf } from '../headers/cache-control.ts'
import {
  type Headers,
  type HeaderValue,
  isCompressible,
  mergeVary,
  storable,
  textOf,
} from '../headers/header-list.ts'
import { parseStrings } from '../headers/structured-fields.ts'
import type { ResolvedOptions } from '../options.ts'
import { type Freshness, toSeconds } from '../policy/freshness.ts'
import { hasValidator, judge, type Verdict } from '../policy/storing.ts'
import type { Validators } from '../request/conditions.ts'
import type { CapturedResponse, ResponseHead } from '../response/capture.ts'
import { createFillId, type ResponseRecord } from '../storage/record.ts'

/** How much longer a response with a validator is kept than it may be used, to be validated, in milliseconds. */
const keepForValidationMs = 60_000
/** Digests of the body as the handler has written it (RFC 9530, RFC 3230, RFC 1864): an encoded one has others. */
const digests = ['content-digest', 'repr-digest', 'digest', 'content-md5']
/** Bodies up to this size are stored with their metadata. */
export const maxInlineBytes = 16_384

/** Judges a response with what its handler has requested. */
export function judgeRendered(
  captured: CapturedResponse,
  facts: RenderFacts,
  hasAuthorization: boolean,
  options: ResolvedOptions,
  now: number,
): Verdict {
  if (facts.isExcluded) return { refusal: 'excluded' }
  const read = facts.privateRead ?? unvariedRead(captured, facts.headersRead, options)
  if (read !== undefined) return { refusal: `read-${read}` }
  if (!captured.isComplete) return { refusal: 'incomplete' }
  const ttl = facts.ttl === undefined ? options.rules.ttl : toSeconds(facts.ttl)
  const verdict = judge(captured, hasAuthorization, { ...options.rules, ttl }, now)
  if (verdict.refusal !== undefined) return verdict
  const size = captured.body?.byteLength ?? Infinity
  return size > options.maxBodyBytes ? { refusal: 'too-large' } : verdict
}

/** A header that the handler has read, and that the response does not vary by: of `Cookie`, the key may contain a part. */
function unvariedRead(
  captured: CapturedResponse,
  names: readonly string[],
  options: ResolvedOptions,
): string | undefined {
  const vary = variesBy(captured, options)
  return names.find((name) => !vary.includes(name))
}

/** What determines a record besides the response. */
interface RecordContext {
  readonly options: ResolvedOptions
  readonly freshness: Freshness
  /** Epoch milliseconds. */
  readonly now: number
}

/** Returns the record of a response that was judged. */
export function buildRecord(
  head: ResponseHead,
  body: Uint8Array,
  { options, freshness, now }: RecordContext,
): ResponseRecord {
  const headers = { ...storable(head.own), date: dateOf(head.own, now) }
  const ownEtag = textOf(head.own.etag)
  const isEncodable = isEncodableBody(head.headers, head.status, body.byteLength, options)
  const record: Omit<ResponseRecord, 'keepUntil'> = {
    kind: 'response',
    fill: createFillId(),
    status: head.status,
    message: head.message,
    // Without the names that middleware in front has added: it adds them to each response.
    headers: withVary(headers, head.own, isEncodable, options),
    ...(head.removed.length > 0 && { removed: head.removed }),
    etag: ownEtag ?? (head.status === 200 ? entityTag(body) : undefined),
    hasOwnEtag: ownEtag !== undefined,
    storedAt: now,
    freshness,
    bodyBytes: body.byteLength,
    bodyKey: undefined,
    isEncodable,
  }
  return { ...record, keepUntil: now + keptMs(freshness, head.headers) }
}

/** How long a response is stored, in milliseconds. */
export function keptMs(freshness: Freshness, headers: Headers): number {
  const { lifetime, initialAge, staleWhileRevalidate, staleIfError } = freshness
  const remaining = Math.max(0, lifetime - initialAge)
  const window = Math.max(staleWhileRevalidate, staleIfError)
  const validation = hasValidator(headers) ? keepForValidationMs : 0
  return Math.ceil((remaining + window) * 1_000) + validation
}

/** Adds to a response what it depends on besides its own `Vary`. */
export function withVary(
  headers: Headers,
  all: Headers,
  isEncodable: boolean,
  { variation }: ResolvedOptions,
): Record<string, HeaderValue> {
  const vary = [...variation.headers, ...(isEncodable ? ['accept-encoding'] : [])]
  const merged = mergeVary(textOf(all.vary), vary)
  return merged === undefined ? { ...headers } : { ...headers, vary: merged }
}

/** The request headers that a stored response depends on, besides those of the key (RFC 9111 section 4.1). */
export function variesBy(head: ResponseHead, { variation }: ResolvedOptions): string[] {
  const keyed = new Set([...variation.headers, 'accept-encoding'])
  // The handler was asked for the plain form, so that it cannot depend on Accept-Encoding.
  const names = listOf(textOf(head.headers.vary)).filter((name) => !keyed.has(name))
  return [...new Set(names)].sort()
}

/** Tags that a response states as `Cache-Groups` (RFC 9875), which are those of its origin. */
export function groupTags(headers: Headers, origin: string, name = 'cache-groups'): string[] {
  return parseStrings(textOf(headers[name])).map((group) => `group ${origin} ${group}`)
}

/** Whether encoded variants of a body are sent. `length` is `Infinity` if it is not known yet. */
export function isEncodableBody(
  headers: Headers,
  status: number,
  length: number,
  { encodings, encodeFrom }: ResolvedOptions,
): boolean {
  return (
    encodings.length > 0 &&
    status === 200 &&
    length >= encodeFrom &&
    headers['content-encoding'] === undefined &&
    !digests.some((name) => headers[name] !== undefined) &&
    isCompressible(textOf(headers['content-type'])) &&
    !listOf(textOf(headers['cache-control'])).includes('no-transform')
  )
}

function dateOf(headers: Headers, now: number): string {
  return textOf(headers.date) ?? new Date(now).toUTCString()
}

/** A strong validator, as the body is stored byte for byte. */
function entityTag(body: Uint8Array): string {
  return `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`
}

/** Headers of a 304 that do not replace those of the stored response (RFC 9111 section 3.2). */
const kept = new Set([
  'content-encoding',
  'content-length',
  'content-md5',
  'content-range',
  'etag',
  'transfer-encoding',
])

/** The validators with which a handler is asked whether a stored response is current (RFC 9111 section 4.3.1). */
export function validatorsOf({ etag, hasOwnEtag, headers }: ResponseRecord): Validators {
  return {
    etag: hasOwnEtag ? etag : undefined,
    lastModified: textOf(headers['last-modified']),
  }
}

/** Whether a 304 of the handler can confirm a stored response. */
export function hasValidators({ hasOwnEtag, headers }: ResponseRecord): boolean {
  return hasOwnEtag || hasValidator(headers)
}

/** Returns the stored response with the headers of a 304 that has confirmed it. */
export function mergeNotModified(
  { headers, own, removed }: CapturedResponse,
  record: ResponseRecord,
): ResponseHead {
  const merged: Record<string, HeaderValue> = { ...record.headers }
  // The 304 has its own date, or none: then it is current.
  delete merged.date
  const all = { ...merged }
  for (const name of Object.keys(own)) {
    if (!kept.has(name)) merged[name] = own[name] as HeaderValue
  }
  for (const name of Object.keys(headers)) {
    if (!kept.has(name)) all[name] = headers[name] as HeaderValue
  }
  return {
    status: record.status,
    message: record.message,
    headers: all,
    own: merged,
    removed: [...new Set([...(record.removed ?? []), ...removed])],
  }
}
