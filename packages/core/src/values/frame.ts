import type { Payload } from '../store.ts'
import type { EntryFacts } from './entry.ts'
import { toBytes } from './payload.ts'

/**
 * The frame around a body that plain JSON text cannot carry:
 *
 *     0x01  version  header (JSON text, may be empty)  0x00  body
 *
 * JSON text never begins with a byte below 0x20 other than white space, so the marker is unambiguous, and
 * never contains 0x00, so the header ends there. The version says how to read what follows it; a reader
 * that does not know it treats the frame as a miss. The header holds the facts and, as `"as":"bytes"`,
 * that the body is the value itself; without it the body is JSON.
 */
const marker = 0x01
const version = 0x01
const headerEnd = 0x00

export interface Frame {
  readonly facts?: EntryFacts | undefined
  /** JSON text, or the bytes that are the value. */
  readonly body: string | Uint8Array
}

export function isFrame(payload: Payload): boolean {
  return (typeof payload === 'string' ? payload.charCodeAt(0) : payload[0]) === marker
}

export function encodeFrame({ facts, body }: Frame): Buffer {
  const header = typeof body === 'string' ? facts : { ...facts, as: 'bytes' }
  return Buffer.concat([
    Uint8Array.of(marker, version),
    Buffer.from(header === undefined ? '' : JSON.stringify(header)),
    Uint8Array.of(headerEnd),
    toBytes(body),
  ])
}

/** The frame, or `undefined` when it is truncated, damaged or of another version. May throw on a damaged header. */
export function decodeFrame(payload: Payload): Frame | undefined {
  const bytes = toBytes(payload)
  const end = bytes.indexOf(headerEnd)
  if (bytes[1] !== version || end < 0) return undefined
  const header = readHeader(bytes.toString('utf8', 2, end))
  if (header === undefined) return undefined
  const { as, ...facts } = header
  const body = bytes.subarray(end + 1)
  return {
    ...(Object.keys(facts).length > 0 && { facts }),
    // A copy: the payload stays the store's own.
    body: as === 'bytes' ? Buffer.from(body) : body.toString(),
  }
}

interface Header extends EntryFacts {
  readonly as?: unknown
}

function readHeader(text: string): Header | undefined {
  if (text === '') return {}
  const header: unknown = JSON.parse(text)
  return isHeader(header) ? header : undefined
}

function isHeader(header: unknown): header is Header {
  if (typeof header !== 'object' || header === null || Array.isArray(header)) return false
  const { freshUntil, tags, as } = header as Record<string, unknown>
  return (
    (freshUntil === undefined || typeof freshUntil === 'number') &&
    (tags === undefined || isTextRecord(tags)) &&
    (as === undefined || as === 'bytes')
  )
}

function isTextRecord(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((member) => typeof member === 'string')
  )
}
