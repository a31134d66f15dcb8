import type { OutgoingHttpHeaders } from 'node:http'
import { listOf } from './cache-control.ts'
import { trimBlanks } from './white-space.ts'

/** The value of a header that is sent; a list for one that is sent in several lines. */
export type HeaderValue = string | string[]
/** Headers of a response by their names in lower case. */
export type Headers = Readonly<Record<string, HeaderValue>>

/** Headers that belong to a connection, and are never stored (RFC 9111 section 3.1, RFC 9110 section 7.6.1). */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Returns the text of a header, with several lines joined. */
export function textOf(value: number | string | readonly string[] | undefined): string | undefined {
  if (value === undefined) return undefined
  return typeof value === 'object' ? value.join(', ') : String(value)
}

/** Copies headers as `getHeaders()` returns them. */
export function copyHeaders(headers: OutgoingHttpHeaders): Record<string, HeaderValue> {
  const copy: Record<string, HeaderValue> = Object.create(null)
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (value === undefined) continue
    copy[name] = Array.isArray(value) ? value.map(String) : String(value)
  }
  return copy
}

/** Returns the headers that may be stored: without those that belong to the connection, and `Age` and `Cache-Status`. */
export function storable(headers: Headers): Headers {
  const connection = textOf(headers.connection)?.toLowerCase().split(',') ?? []
  const dropped = new Set(connection.map(trimBlanks))
  const kept: Record<string, HeaderValue> = {}
  for (const name of Object.keys(headers)) {
    if (hopByHop.has(name) || dropped.has(name) || name === 'age' || name === 'cache-status')
      continue
    kept[name] = headers[name] as HeaderValue
  }
  return kept
}

/** Adds names to the value of `Vary`. */
export function mergeVary(value: string | undefined, names: readonly string[]): string | undefined {
  const present = new Set(listOf(value))
  if (present.has('*')) return value
  const missing = names.filter((name) => !present.has(name))
  if (missing.length === 0) return value
  const titles = missing.map((name) => name.replaceAll(/(^|-)[a-z]/g, (text) => text.toUpperCase()))
  return value === undefined || value === '' ? titles.join(', ') : `${value}, ${titles.join(', ')}`
}

const compressible =
  /^(?:text\/|application\/(?:json|javascript|xml|wasm|graphql|x-ndjson|manifest\+json|.+\+(?:json|xml))|image\/(?:svg\+xml|bmp|x-icon)|font\/(?:ttf|otf))/

/** Whether bodies of a `Content-Type` usually become smaller by compression. */
export function isCompressible(type: string | undefined): boolean {
  return type !== undefined && compressible.test(type.toLowerCase()) && !isEventStream(type)
}

/** Whether the body is a stream of events, which never ends. */
export function isEventStream(type: string | undefined): boolean {
  return type?.toLowerCase().startsWith('text/event-stream') === true
}
