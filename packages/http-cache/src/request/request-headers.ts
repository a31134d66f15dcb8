import type { IncomingMessage } from 'node:http'

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

/** The validators of a stale response, which the handler is asked with. */
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
