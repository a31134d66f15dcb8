import type { Payload } from '../store.ts'
import type { EntryFacts } from './entry.ts'
import { toBytes } from './payload.ts'

/**
 * The frame of an entry that plain JSON text cannot represent:
 *
 *     0x01  version  header (JSON text, may be empty)  0x00  body
 *
 * The marker is unambiguous, because JSON text begins with no byte below 0x20 except white space. The header ends at
 * 0x00, because JSON text never contains it. The version determines the format of the rest; readers treat an
 * unknown version as a miss. The header contains the facts of the entry and `"as":"bytes"` if the body is the value
 * itself; otherwise the body is JSON text.
 */
const marker = 0x01
const version = 0x01
const headerEnd = 0x00

/** The parts of a frame, for codecs. */
export interface Frame {
  readonly facts?: EntryFacts | undefined
  /** JSON text, or the bytes of a value that is bytes. */
  readonly body: string | Uint8Array
}

/** Returns whether the payload begins with the marker of a frame. */
export function isFrame(payload: Payload): boolean {
  return (typeof payload === 'string' ? payload.charCodeAt(0) : payload[0]) === marker
}

/**
 * Encodes a frame, for a codec that stores more than plain JSON text.
 *
 * @example
 * const framed = encodeFrame({ body: Buffer.from([1, 2, 3]) })
 * console.log(isFrame(framed), decodeFrame(framed)?.body)
 */
export function encodeFrame({ facts, body }: Frame): Buffer {
  const header = typeof body === 'string' ? facts : { ...facts, as: 'bytes' }
  return Buffer.concat([
    Uint8Array.of(marker, version),
    Buffer.from(header === undefined ? '' : JSON.stringify(header)),
    Uint8Array.of(headerEnd),
    toBytes(body),
  ])
}

/** Returns the frame, or `undefined` if it is truncated, damaged or of another version. May throw if it is damaged. */
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
    // Copied, because the store may still use the payload.
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
  const { freshUntil, expiresAt, tags, etag, lastModified, as } = header as Record<string, unknown>
  return (
    [freshUntil, expiresAt].every((time) => time === undefined || typeof time === 'number') &&
    [etag, lastModified].every((text) => text === undefined || typeof text === 'string') &&
    (tags === undefined || isStringRecord(tags)) &&
    (as === undefined || as === 'bytes')
  )
}

function isStringRecord(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((member) => typeof member === 'string')
  )
}
