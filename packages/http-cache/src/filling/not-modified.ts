import { type HeaderValue, textOf } from '../headers/header-list.ts'
import { hasValidator } from '../policy/storing.ts'
import type { Validators } from '../request/request-headers.ts'
import type { CapturedResponse, ResponseHead } from '../response/capture.ts'
import type { ResponseRecord } from '../storage/record.ts'

/** Headers of a 304 that do not replace those of the stored response (RFC 9111 section 3.2). */
const kept = new Set([
  'content-encoding',
  'content-length',
  'content-md5',
  'content-range',
  'etag',
  'transfer-encoding',
])

/** What a handler is asked with whether a stored response is current. */
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
  if (record.etag !== undefined && record.hasOwnEtag) merged.etag = record.etag
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
