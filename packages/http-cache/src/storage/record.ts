import { randomBytes } from 'node:crypto'
import { types } from 'node:util'
import { remembering } from '@stowage/core/internal'
import type { HeaderValue } from '../headers/header-list.ts'
import type { Freshness } from '../policy/freshness.ts'
import { ShortKeyMap } from './short-key-map.ts'

/** The metadata of a stored response. */
export interface ResponseRecord {
  readonly kind: 'response'
  /** Identifies what was stored, so that parts of different fills are never mixed. */
  readonly fill: string
  readonly status: number
  readonly message: string
  readonly headers: Readonly<Record<string, HeaderValue>>
  /** Names of headers of middleware in front that the handler has removed. `undefined` for none. */
  readonly removed?: readonly string[] | undefined
  /** The validator that the response is sent with. */
  readonly etag: string | undefined
  /** Whether the handler has set the validator, and not the cache. */
  readonly hasOwnEtag: boolean
  /** When the response was complete, in epoch milliseconds. */
  readonly storedAt: number
  readonly freshness: Freshness
  /** When the response is deleted, in epoch milliseconds. */
  readonly keepUntil: number
  readonly bodyBytes: number
  /** The key of the body, if it is stored apart. */
  readonly bodyKey: string | undefined
  /** Whether encoded variants of the body are made. */
  readonly isEncodable: boolean
}

/** What is stored for a URL whose response depends on request headers (RFC 9111 section 4.1). */
export interface VaryRecord {
  readonly kind: 'vary'
  readonly fill: string
  readonly names: readonly string[]
}

export type StoredRecord = ResponseRecord | VaryRecord

/** A record that was read, and the body if it is in the same item. */
export interface StoredItem<R extends StoredRecord = StoredRecord> {
  readonly record: R
  readonly body: Buffer | undefined
  /** The headers of a response that was decoded, as they are sent. */
  readonly lines?: HeaderLines | undefined
}

/**
 * The layout of an item:
 *
 *     0xC8 version(1)  length of the metadata (4 bytes)  fill id (16 characters)  metadata (JSON)  body
 */
/** Not ASCII: some clients return a reply that is ASCII as text, which would have to be converted back. */
const marker = 0xc8
const version = 1
const lengthOffset = 2
const fillOffset = 6
const fillLength = 16
const metadataOffset = fillOffset + fillLength

type Metadata = Pick<StoredItem, 'record' | 'lines'>

/** Metadata that was decoded lately, by fill id. A fill id belongs to one text of metadata only. */
const decoded = new ShortKeyMap<Metadata>(10_000)

export function createFillId(): string {
  return randomBytes(12).toString('base64url')
}

/** @param body `undefined` if it is stored apart */
export function encodeRecord({ fill, ...metadata }: StoredRecord, body?: Uint8Array): Buffer {
  const text = Buffer.from(JSON.stringify(metadata))
  const bodyLength = body?.byteLength ?? 0
  const item = Buffer.allocUnsafe(metadataOffset + text.byteLength + bodyLength)
  item[0] = marker
  item[1] = version
  item.writeUInt32LE(text.byteLength, lengthOffset)
  item.write(fill, fillOffset, 'latin1')
  text.copy(item, metadataOffset)
  if (body !== undefined) item.set(body, metadataOffset + text.byteLength)
  return item
}

/** Returns the record, or `undefined` for a value that is not one, or is damaged: it reads as a miss. */
export function decodeRecord(value: unknown): StoredItem | undefined {
  if (!types.isUint8Array(value) || value.byteLength <= metadataOffset) return undefined
  const item = bufferOf(value)
  if (item[0] !== marker || item[1] !== version) return undefined
  const bodyOffset = metadataOffset + item.readUInt32LE(lengthOffset)
  if (bodyOffset > item.byteLength) return undefined
  const fill = item.toString('latin1', fillOffset, metadataOffset)
  const metadata =
    decoded.get(fill) ?? decodeMetadata(fill, item.toString('utf8', metadataOffset, bodyOffset))
  if (metadata === undefined) return undefined
  const { record, lines } = metadata
  if (record.kind === 'vary' || record.bodyKey !== undefined) {
    return { record, body: undefined, lines }
  }
  const body = item.subarray(bodyOffset)
  return body.byteLength === record.bodyBytes ? { record, body, lines } : undefined
}

/** The same bytes, without a copy. */
export function bufferOf(value: Uint8Array): Buffer {
  return Buffer.isBuffer(value)
    ? value
    : Buffer.from(value.buffer, value.byteOffset, value.byteLength)
}

function decodeMetadata(fill: string, text: string): Metadata | undefined {
  try {
    const record = { ...JSON.parse(text), fill } as StoredRecord
    if (record.kind !== 'vary' && !(record.kind === 'response' && isSendable(record)))
      return undefined
    const lines = record.kind === 'response' ? headerLinesOf(record) : undefined
    const metadata = { record, lines }
    decoded.set(fill, metadata)
    return metadata
  } catch {
    return undefined
  }
}

/** Whether Node sends the status line. Otherwise it would throw after that was set, and the handler could not respond. */
function isSendable({ status, message }: ResponseRecord): boolean {
  return Number.isInteger(status) && status >= 200 && status <= 599 && statusText.test(message)
}

/** The characters of RFC 9112 section 4. */
const statusText = /^[\t\x20-\x7e\x80-\xff]*$/

/** Names and values in turn, as they are sent. */
type HeaderLines = readonly HeaderValue[]

/** The part of a record that its headers are made of. */
interface HeaderSource {
  readonly headers: Readonly<Record<string, HeaderValue>>
  readonly etag: string | undefined
  readonly freshness: { readonly omitted: readonly string[] }
}

const maxSharedValues = 1_000
/** Longer values are not shared, in characters. */
const maxSharedLength = 200

/**
 * Values that responses have in common. A hit reads them from one place in memory, whatever its record. Those that differ
 * from response to response, such as dates, are forgotten first.
 */
const sharedValue = remembering((value) => value, maxSharedValues)

/** Returns the headers that a stored response is sent with in its plain form. */
export function headerLinesOf({ headers, etag, freshness }: HeaderSource): HeaderLines {
  const { omitted } = freshness
  const lines: HeaderValue[] = []
  for (const name of Object.keys(headers)) {
    if (name === 'etag' || omitted.includes(name)) continue
    const value = headers[name] as HeaderValue
    lines.push(name, typeof value === 'string' ? shared(value) : value)
  }
  if (etag !== undefined && !omitted.includes('etag')) lines.push('ETag', etag)
  return lines
}

function shared(value: string): string {
  return value.length <= maxSharedLength ? sharedValue(value) : value
}
