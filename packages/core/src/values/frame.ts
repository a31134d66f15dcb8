import type { Payload } from '../store.ts'
import type { EntryFacts } from './entry.ts'
import { toBytes } from './payload.ts'

/**
 * The first byte of a payload that is not plain text. It is unambiguous, because JSON text begins with no byte below
 * 0x20 except white space.
 */
export const marker = 0x01

/** The second byte of a payload that begins with the marker. Readers treat any other as a miss. */
export const frameKinds = {
  /** The frame of an entry, see {@link encodeFrame}. */
  entry: 0x01,
  /** Reserved for the cache: no codec writes it. */
  mark: 0x02,
  /** A compressed payload of another codec. */
  compressed: 0x03,
  /** An encrypted payload of another codec. */
  encrypted: 0x04,
} as const

const headerEnd = 0x00
const headStart = String.fromCharCode(marker, frameKinds.entry)
const headEnd = String.fromCharCode(headerEnd)

/**
 * The parts of the frame of an entry that plain JSON text cannot represent:
 *
 *     0x01  0x01  header (JSON text, may be empty)  0x00  body
 *
 * The header ends at 0x00, because JSON text never contains it. It contains the facts of the entry, and the format of
 * the body as `"as"`.
 */
export interface Frame {
  readonly facts?: EntryFacts | undefined
  /**
   * The format of the body: absent for JSON text, `'bytes'` for a value that is bytes, else the name of a codec.
   * @default 'bytes' for a body of bytes
   */
  readonly as?: string | undefined
  readonly body: string | Uint8Array
}

/** Returns whether the payload begins with the marker of a frame. */
export function isFrame(payload: Payload): boolean {
  return (typeof payload === 'string' ? payload.charCodeAt(0) : payload[0]) === marker
}

/** Returns the second byte of a payload that begins with the marker: one of {@link frameKinds}, or a later one. */
export function frameKind(payload: Payload): number | undefined {
  if (!isFrame(payload)) return undefined
  return typeof payload === 'string' ? payload.charCodeAt(1) : payload[1]
}

/**
 * Encodes a frame, for a codec that stores more than plain JSON text.
 *
 * @example
 * const framed = encodeFrame({ body: Buffer.from([1, 2, 3]) })
 * console.log(isFrame(framed), decodeFrame(framed)?.body)
 */
export function encodeFrame({ facts, body, as = defaultFormat(body) }: Frame): Payload {
  const header = as === undefined ? facts : { ...facts, as }
  const head = headStart + (header === undefined ? '' : JSON.stringify(header)) + headEnd
  return typeof body === 'string' ? head + body : Buffer.concat([Buffer.from(head), toBytes(body)])
}

/**
 * Returns the frame, with JSON text as a string and any other body as a copy of its bytes. Returns `undefined` for a
 * frame that is truncated, damaged or of another kind. May throw if it is damaged.
 */
export function decodeFrame(payload: Payload): Frame | undefined {
  if (frameKind(payload) !== frameKinds.entry) return undefined
  const parts = typeof payload === 'string' ? splitText(payload) : splitBytes(toBytes(payload))
  if (parts === undefined) return undefined
  const [text, body] = parts
  const header = readHeader(text)
  if (header === undefined) return undefined
  if (header.as === undefined) {
    return { facts: text === '' ? undefined : header, body: body.toString() }
  }
  const { as, ...facts } = header
  const hasFacts = Object.keys(facts).length > 0
  // Copied, because the store may still use the payload.
  return { facts: hasFacts ? facts : undefined, as, body: Buffer.from(body as Uint8Array) }
}

function splitText(payload: string): [header: string, body: string | Uint8Array] | undefined {
  const end = payload.indexOf(headEnd)
  return end < 0 ? undefined : [payload.slice(2, end), payload.slice(end + 1)]
}

function splitBytes(payload: Buffer): [header: string, body: Uint8Array] | undefined {
  const end = payload.indexOf(headerEnd)
  return end < 0 ? undefined : [payload.toString('utf8', 2, end), payload.subarray(end + 1)]
}

function defaultFormat(body: string | Uint8Array): string | undefined {
  return typeof body === 'string' ? undefined : 'bytes'
}

interface Header extends EntryFacts {
  readonly as?: string
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
    isOptional('number', freshUntil) &&
    isOptional('number', expiresAt) &&
    isOptional('string', etag) &&
    isOptional('string', lastModified) &&
    isOptional('string', as) &&
    (tags === undefined || isStringRecord(tags))
  )
}

function isOptional(type: 'number' | 'string', value: unknown): boolean {
  return value === undefined || typeof value === type
}

function isStringRecord(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((member) => typeof member === 'string')
  )
}
