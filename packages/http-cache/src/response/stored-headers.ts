import type { ServerResponse } from 'node:http'
import { listOf } from '../headers/cache-control.ts'
import { type Headers, type HeaderValue, mergeVary, textOf } from '../headers/header-list.ts'
import type { ResponseHead } from './capture.ts'

/** What a stored response is sent with. */
interface StoredHead {
  readonly headers: Headers
  readonly removed?: readonly string[] | undefined
  readonly etag: string | undefined
  readonly freshness: { readonly omitted: readonly string[] }
}

/**
 * Sets the headers of a stored response, with the entity tag of the form that is sent. Those that middleware in front has
 * set for this request are kept, unless the handler has removed them.
 *
 * @param lines the names and values of its headers in turn, with the entity tag of its plain form
 */
export function setStoredHeaders(
  response: ServerResponse,
  stored: StoredHead,
  lines: readonly HeaderValue[],
  etag: string | undefined,
): void {
  // Of an outer middleware, which may depend on other request headers than the stored response.
  const outerVary = response.getHeader('vary')
  if (stored.removed !== undefined) removeHeaders(response, stored.removed)
  for (let index = 0; index < lines.length; index += 2) {
    response.setHeader(lines[index] as string, lines[index + 1] as string | string[])
  }
  if (outerVary !== undefined && outerVary !== stored.headers.vary) {
    addVary(response, stored.headers.vary, outerVary)
  }
  if (etag === stored.etag || etag === undefined) return
  if (!stored.freshness.omitted.includes('etag')) response.setHeader('ETag', etag)
}

/** Sets the headers of a response that was rendered apart from its client, and is not stored. */
export function setRenderedHeaders(
  response: ServerResponse,
  { own, removed }: Pick<ResponseHead, 'own' | 'removed'>,
): void {
  const outerVary = response.getHeader('vary')
  removeHeaders(response, removed)
  for (const name of Object.keys(own)) {
    if (name === 'transfer-encoding' || name === 'connection') continue
    response.setHeader(name, own[name] as HeaderValue)
  }
  if (outerVary !== undefined && own.vary !== undefined) addVary(response, outerVary, own.vary)
}

/** Middleware in front depends on the headers of its `Vary`, whatever the handler does. */
function removeHeaders(response: ServerResponse, names: readonly string[]): void {
  for (const name of names) if (name !== 'vary') response.removeHeader(name)
}

type VaryValue = number | string | string[] | undefined

/** Sets a `Vary` of two. */
function addVary(response: ServerResponse, vary: VaryValue, added: VaryValue): void {
  const merged = mergeVary(textOf(vary), listOf(textOf(added)))
  if (merged !== undefined) response.setHeader('Vary', merged)
}
