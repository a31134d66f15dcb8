import { type Directives, isMalformed, parseCacheControl } from '../headers/cache-control.ts'
import { type Headers, textOf } from '../headers/header-list.ts'
import { parseTargeted } from '../headers/structured-fields.ts'

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
