import type { IncomingMessage } from 'node:http'
import { parseHttpDate } from '../headers/http-date.ts'

/** What the cache evaluates itself: the handler must return the complete response, in its plain form. */
const hidden = [
  'if-none-match',
  'if-modified-since',
  'if-match',
  'if-unmodified-since',
  'if-range',
  'range',
  'accept-encoding',
] as const

type HiddenHeaders = Partial<Record<(typeof hidden)[number], string | undefined>>

/** The validators of a stale response, which the request to the handler contains. */
export interface Validators {
  readonly etag: string | undefined
  readonly lastModified: string | undefined
}

/**
 * Replaces the preconditions, `Range` and `Accept-Encoding` of a request while its handler runs: Express would answer with
 * 304 or 206, and `compression()` would encode the body. Returns a function that shows them, or hides them again.
 */
export function hideConditions(
  request: IncomingMessage,
  validators: Validators | undefined,
): (isShown: boolean) => void {
  const headers: HiddenHeaders = request.headers as HiddenHeaders
  const shown: HiddenHeaders = Object.fromEntries(hidden.map((name) => [name, headers[name]]))
  const replacing: HiddenHeaders = {
    'accept-encoding': 'identity',
    'if-none-match': validators?.etag,
    'if-modified-since': validators?.lastModified,
  }
  const show = (isShown: boolean) => replaceHidden(headers, isShown ? shown : replacing)
  show(false)
  return show
}

function replaceHidden(headers: HiddenHeaders, values: HiddenHeaders): void {
  for (const name of hidden) {
    const value = values[name]
    if (value === undefined) delete headers[name]
    else headers[name] = value
  }
}

/** Whether a request has a precondition that only the handler can evaluate (RFC 9110 section 13.1.1 and 13.1.4). */
export function hasWritePrecondition({ headers }: IncomingMessage): boolean {
  return headers['if-match'] !== undefined || headers['if-unmodified-since'] !== undefined
}

/** The headers of a request as the cache evaluates them, taken before they are hidden. */
export interface Conditions {
  readonly method: string
  readonly ifNoneMatch: string | undefined
  readonly ifModifiedSince: string | undefined
  readonly ifRange: string | undefined
  readonly range: string | undefined
  readonly acceptEncoding: string | undefined
}

export function conditionsOf({ method, headers }: IncomingMessage): Conditions {
  return {
    method: method ?? 'GET',
    ifNoneMatch: headers['if-none-match'],
    ifModifiedSince: headers['if-modified-since'],
    ifRange: headers['if-range'] as string | undefined,
    range: headers.range,
    acceptEncoding: headers['accept-encoding'] as string | undefined,
  }
}

/** Longer `Range` headers are ignored as invalid, in characters. */
const maxRangeLength = 100

/** The validators of the representation that would be sent. */
export interface Selected {
  readonly status: number
  readonly etag: string | undefined
  readonly lastModified: string | undefined
  readonly date: string | undefined
}

/** Whether a request may be answered with 304. */
export function asksWhetherModified({ ifNoneMatch, ifModifiedSince }: Conditions): boolean {
  return ifNoneMatch !== undefined || ifModifiedSince !== undefined
}

/**
 * Whether a request is answered with 304 (RFC 9110 section 13.2.2): `If-None-Match` is compared weakly and replaces
 * `If-Modified-Since`.
 */
export function isNotModified(conditions: Conditions, selected: Selected, now: number): boolean {
  const { ifNoneMatch, ifModifiedSince } = conditions
  if (selected.status !== 200 || !asksWhetherModified(conditions)) return false
  if (ifNoneMatch !== undefined) return matchesWeakly(ifNoneMatch, selected.etag)
  const since = parseHttpDate(ifModifiedSince, now)
  // Without Last-Modified, the date of the stored response counts (RFC 9111 section 4.3.2).
  const changed = parseHttpDate(selected.lastModified ?? selected.date, now)
  return since !== undefined && changed !== undefined && changed <= since
}

function matchesWeakly(list: string, etag: string | undefined): boolean {
  const expected = etag && opaque(etag)
  let position = 0
  while (position < list.length) {
    const code = list.charCodeAt(position)
    if (code === star) return true
    if (code !== quote) {
      position++
      continue
    }
    const end = list.indexOf('"', position + 1)
    if (end < 0) return false
    if (list.slice(position, end + 1) === expected) return true
    position = end + 1
  }
  return false
}

const star = 0x2a
const quote = 0x22

function opaque(tag: string): string {
  return tag.startsWith('W/') ? tag.slice(2) : tag
}

/** Whether `If-Range` permits a part of the representation (RFC 9110 section 13.1.5): it is compared strongly. */
export function permitsRange(ifRange: string | undefined, selected: Selected): boolean {
  if (ifRange === undefined) return true
  if (ifRange.startsWith('"')) return ifRange === selected.etag
  return !ifRange.startsWith('W/') && ifRange === selected.lastModified && isStrongDate(selected)
}

/** Whether the response was not changed in the second in which it was sent (RFC 9110 section 8.8.2.2). */
function isStrongDate({ lastModified, date }: Selected): boolean {
  const [changed, sent] = [lastModified, date].map((each) => parseHttpDate(each, 0))
  return changed !== undefined && sent !== undefined && sent - changed >= 1_000
}

/** A part of a body; `undefined` for the whole body, `'unsatisfiable'` if no byte is in it. */
export type ByteRange = { readonly start: number; readonly end: number } | 'unsatisfiable'

/** Parses a `Range` of one part (RFC 9110 section 14.1.2). Several parts, and what is invalid, are ignored. */
export function parseRange(range: string, length: number): ByteRange | undefined {
  if (range.length > maxRangeLength) return undefined
  const match = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/.exec(range)
  if (match === null || (match[1] === '' && match[2] === '')) return undefined
  const first = match[1] === '' ? undefined : Number(match[1])
  const last = match[2] === '' ? undefined : Number(match[2])
  if (first === undefined) {
    const suffix = last as number
    if (suffix === 0 || length === 0) return 'unsatisfiable'
    return { start: Math.max(0, length - suffix), end: length - 1 }
  }
  if (last !== undefined && last < first) return undefined
  if (first >= length) return 'unsatisfiable'
  return { start: first, end: Math.min(last ?? length - 1, length - 1) }
}
