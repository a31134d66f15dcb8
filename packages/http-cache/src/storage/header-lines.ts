import type { HeaderValue } from '../headers/header-list.ts'
import { ShortKeyMap } from './hints.ts'

/** Names and values in turn, as they are sent. */
export type HeaderLines = readonly HeaderValue[]

/** The part of a record that its headers are made of. */
interface HeaderSource {
  readonly headers: Readonly<Record<string, HeaderValue>>
  readonly etag: string | undefined
  readonly freshness: { readonly omitted: readonly string[] }
}

const maxSharedValues = 1_000
/** Longer values are not shared, in characters. */
const maxSharedLength = 200
/** Their values differ from response to response. */
const distinct = new Set(['date', 'last-modified', 'content-location'])

/** Values that responses have in common. A hit reads them from one place in memory, whatever its record. */
const sharedValues = new ShortKeyMap<string>(maxSharedValues)

/** Returns the headers that a stored response is sent with in its plain form. */
export function headerLinesOf({ headers, etag, freshness }: HeaderSource): HeaderLines {
  const { omitted } = freshness
  const lines: HeaderValue[] = []
  for (const name of Object.keys(headers)) {
    if (name === 'etag' || omitted.includes(name)) continue
    const value = headers[name] as HeaderValue
    lines.push(name, distinct.has(name) ? value : shared(value))
  }
  if (etag !== undefined && !omitted.includes('etag')) lines.push('ETag', etag)
  return lines
}

function shared(value: HeaderValue): HeaderValue {
  if (typeof value !== 'string' || value.length > maxSharedLength) return value
  const known = sharedValues.get(value)
  if (known !== undefined) return known
  sharedValues.set(value, value)
  return value
}
