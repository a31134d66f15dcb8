import { parseHttpDate } from '../headers/http-date.ts'
import type { Conditions } from '../request/request-headers.ts'

/** Longer ranges and dates are ignored as invalid. */
const maxRange = 100

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
  if (etag === undefined) return false
  const expected = opaque(etag)
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
  return !ifRange.startsWith('W/') && ifRange === selected.lastModified
}

/** A part of a body; `undefined` for the whole body, `'unsatisfiable'` if no byte is in it. */
export type ByteRange = { readonly start: number; readonly end: number } | 'unsatisfiable'

/** Parses a `Range` of one part (RFC 9110 section 14.1.2). Several parts, and what is invalid, are ignored. */
export function parseRange(range: string, length: number): ByteRange | undefined {
  if (range.length > maxRange) return undefined
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
