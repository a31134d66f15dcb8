import type { EntryFacts } from '../entry.ts'
import type { Payload } from '../store.ts'
import { readHeader } from './frame-header.ts'
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

const headStart = String.fromCharCode(marker, frameKinds.entry)
const headEnd = '\0'

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
 * console.log(decodeFrame(framed)?.body)
 */
export function encodeFrame({ facts, body, as = defaultFormat(body) }: Frame): Payload {
  const header = as === undefined ? facts : { ...facts, as }
  const head = headStart + (header === undefined ? '' : JSON.stringify(header)) + headEnd
  return typeof body === 'string' ? head + body : Buffer.concat([Buffer.from(head), toBytes(body)])
}

/** Longer payloads are not kept to recognise them when they are decoded again. */
const maxKeptLength = 10_000
let lastPayload: Payload = ''
let lastFrame: Frame | undefined

/**
 * Returns the frame, with JSON text as a string and any other body as a copy of its bytes. Returns `undefined` for a
 * frame that is truncated, damaged or of another kind. May throw if it is damaged.
 *
 * @param copies whether bytes are copied. If not, they are part of the payload, which the store may still use
 */
export function decodeFrame(payload: Payload, copies = true): Frame | undefined {
  if (frameKind(payload) !== frameKinds.entry) return undefined
  if (isLastPayload(payload)) return lastFrame
  const source = typeof payload === 'string' ? payload : toBytes(payload)
  const header = readHeader(source, headStart.length)
  if (header === undefined) return undefined
  const { facts, as, end } = header
  if (as !== undefined) return { facts, as, body: bytesFrom(source, end, copies) }
  const body = typeof source === 'string' ? source.slice(end) : source.toString('utf8', end)
  const frame = { facts, body }
  if (payload.length <= maxKeptLength) {
    lastPayload = payload
    lastFrame = frame
  }
  return frame
}

function bytesFrom(source: string | Buffer, start: number, copies: boolean): Uint8Array {
  if (typeof source === 'string') return Buffer.from(source.slice(start))
  const body = source.subarray(start)
  return copies ? Buffer.from(body) : body
}

/**
 * Whether a payload was also the last one. Often many callers decode the same payload: those that have asked for the key
 * at the same time. Only then are the strings compared, which takes as long as all else here: the other comparisons find
 * the last digits of the time with which most frames begin.
 */
function isLastPayload(payload: Payload): boolean {
  if (typeof payload !== 'string' || typeof lastPayload !== 'string') {
    return payload === lastPayload
  }
  return (
    payload.length === lastPayload.length &&
    payload.charCodeAt(28) === lastPayload.charCodeAt(28) &&
    payload.charCodeAt(27) === lastPayload.charCodeAt(27) &&
    payload === lastPayload
  )
}

function defaultFormat(body: string | Uint8Array): string | undefined {
  return typeof body === 'string' ? undefined : 'bytes'
}
