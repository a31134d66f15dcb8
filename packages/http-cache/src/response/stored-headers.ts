import type { ServerResponse } from 'node:http'
import { type Headers, type HeaderValue, textOf } from '../headers/header-list.ts'
import { mergeVary } from '../headers/vary.ts'
import type { ResponseHead } from './capture.ts'

/** What a stored response is sent with. */
interface StoredHead {
  readonly headers: Readonly<Record<string, HeaderValue>>
  readonly removed?: readonly string[] | undefined
  readonly freshness: { readonly omitted: readonly string[] }
}

/** Names and values in turn, as they are sent. */
type HeaderLines = readonly HeaderValue[]

/** By record: many requests receive the same one. */
const linesOfRecords = new WeakMap<StoredHead, HeaderLines>()

/**
 * Sets the headers of a stored response. Those that middleware in front has set for this request are kept, unless the
 * handler has removed them.
 */
export function setStoredHeaders(
  response: ServerResponse,
  record: StoredHead,
  etag: string | undefined,
): void {
  // Of an outer middleware, which may depend on other request headers than the stored response.
  const outerVary = response.getHeader('vary')
  if (record.removed !== undefined) removeHeaders(response, record.removed)
  const lines = linesOf(record)
  for (let index = 0; index < lines.length; index += 2) {
    response.setHeader(lines[index] as string, lines[index + 1] as string | string[])
  }
  if (outerVary !== undefined) addVary(response, record.headers, outerVary)
  const isOmitted = record.freshness.omitted.includes('etag')
  if (etag !== undefined && !isOmitted) response.setHeader('ETag', etag)
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
  if (outerVary !== undefined && own.vary !== undefined) addVary(response, own, outerVary)
}

/** Middleware in front depends on the headers of its `Vary`, whatever the handler does. */
function removeHeaders(response: ServerResponse, names: readonly string[]): void {
  for (const name of names) if (name !== 'vary') response.removeHeader(name)
}

function linesOf(record: StoredHead): HeaderLines {
  const known = linesOfRecords.get(record)
  if (known !== undefined) return known
  const { headers, freshness } = record
  const lines: HeaderValue[] = []
  for (const name of Object.keys(headers)) {
    if (name === 'etag' || freshness.omitted.includes(name)) continue
    lines.push(name, headers[name] as HeaderValue)
  }
  linesOfRecords.set(record, lines)
  return lines
}

function addVary(
  response: ServerResponse,
  headers: Headers,
  outer: number | string | string[],
): void {
  if (outer === headers.vary) return
  const names = String(outer).toLowerCase().split(',')
  const merged = mergeVary(
    textOf(headers.vary),
    names.map((name) => name.trim()),
  )
  if (merged !== undefined) response.setHeader('Vary', merged)
}
