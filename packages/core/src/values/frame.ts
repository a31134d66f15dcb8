import type { Payload } from '../store.ts'
import type { EntryFacts } from './entry.ts'
import { type FrameHeader, parseHeader } from './frame-header.ts'
import { toBytes, toText } from './payload.ts'

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
/** `"bytes"}` */
const asBytes = [...Buffer.from('"bytes"}')]
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

/** The longest payload that is decoded to text as a whole, and kept to recognise it when it is decoded again. */
const maxTextLength = 10_000
let lastPayload = ''
let lastFrame: Frame | undefined

/**
 * Returns the frame, with JSON text as a string and any other body as a copy of its bytes. Returns `undefined` for a
 * frame that is truncated, damaged or of another kind. May throw if it is damaged.
 *
 * @param copies whether bytes are copied. If not, they are part of the payload, which the store may still use
 */
export function decodeFrame(payload: Payload, copies = true): Frame | undefined {
  if (frameKind(payload) !== frameKinds.entry) return undefined
  if (typeof payload === 'string') return decodeText(payload, copies)
  // Most bodies are JSON text: one conversion is faster than one for each part.
  const isText = payload.byteLength <= maxTextLength && !hasBytes(payload)
  const frame = isText ? decodeText(toText(payload), copies) : undefined
  return frame === undefined || frame.as !== undefined ? decodeParts(payload, copies) : frame
}

/** Whether the header says that the body is bytes. `encodeFrame` writes that at its end. */
function hasBytes(payload: Uint8Array): boolean {
  const start = payload.indexOf(headerEnd) - asBytes.length
  return start > 0 && asBytes.every((byte, index) => payload[start + index] === byte)
}

function decodeText(payload: string, copies: boolean): Frame | undefined {
  if (isLastPayload(payload)) return lastFrame
  const end = payload.indexOf(headEnd)
  if (end < 0) return undefined
  const text = payload.slice(2, end)
  const header = parseHeader(text)
  if (header === undefined) return undefined
  const body = payload.slice(end + 1)
  if (header.as !== undefined) return decodeBody(header, Buffer.from(body), copies)
  const frame = { facts: text === '' ? undefined : header, body }
  if (payload.length <= maxTextLength) {
    lastPayload = payload
    lastFrame = frame
  }
  return frame
}

function decodeParts(payload: Uint8Array, copies: boolean): Frame | undefined {
  const bytes = toBytes(payload)
  const end = bytes.indexOf(headerEnd)
  if (end < 0) return undefined
  const text = bytes.toString('utf8', 2, end)
  const header = parseHeader(text)
  if (header === undefined) return undefined
  const body = bytes.subarray(end + 1)
  if (header.as !== undefined) return decodeBody(header, body, copies)
  return { facts: text === '' ? undefined : header, body: body.toString() }
}

/**
 * Whether a payload was also the last one. Often many callers decode the same payload: those that have asked for the key
 * at the same time. Only then are the strings compared, which takes as long as all else here: the other comparisons find
 * the last digits of the time with which most frames begin.
 */
function isLastPayload(payload: string): boolean {
  return (
    payload.length === lastPayload.length &&
    payload.charCodeAt(28) === lastPayload.charCodeAt(28) &&
    payload.charCodeAt(27) === lastPayload.charCodeAt(27) &&
    payload === lastPayload
  )
}

/** A frame whose body is not JSON text. */
function decodeBody({ as, ...facts }: FrameHeader, body: Uint8Array, copies: boolean): Frame {
  const hasFacts = Object.keys(facts).length > 0
  return { facts: hasFacts ? facts : undefined, as, body: copies ? Buffer.from(body) : body }
}

function defaultFormat(body: string | Uint8Array): string | undefined {
  return typeof body === 'string' ? undefined : 'bytes'
}
