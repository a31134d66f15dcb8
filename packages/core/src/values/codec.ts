import { CacheError } from '../errors.ts'
import type { Payload } from '../store.ts'
import type { Entry } from './entry.ts'
import { decodeFrame, encodeFrame, isFrame } from './frame.ts'
import { toText } from './payload.ts'

/** Entry to payload and back. Synchronous, and free of state between calls. */
export interface Codec {
  /** @throws CacheError `ERR_CACHE_CODEC` when the value has no representation */
  encode(entry: Entry): Payload
  /** The entry, or `undefined` for a payload that is corrupt, foreign or of a newer format. Never throws. */
  decode(payload: Payload): Entry | undefined
}

/**
 * The default codec. A value without facts is stored as plain JSON text: readable in `redis-cli`, shared
 * with other languages, and a counter where it is a number. Bytes (`Buffer`, any `Uint8Array`) come back
 * exactly, as a `Buffer`. Everything else comes back as JSON makes it: a `Date` is its ISO string, `NaN`
 * is `null`, `-0` is `0`, nested `undefined` is left out. Functions, symbols, cycles and BigInt are errors.
 */
export function json(): Codec {
  return { encode, decode }
}

function encode({ value, facts }: Entry): Payload {
  if (value instanceof Uint8Array) return encodeFrame({ facts, body: value })
  const text = stringify(value)
  return facts === undefined ? text : encodeFrame({ facts, body: text })
}

function decode(payload: Payload): Entry | undefined {
  try {
    if (isFrame(payload)) return decodeFramed(payload)
    return { value: JSON.parse(toText(payload)) }
  } catch {
    return undefined // Not JSON: corrupt, or written by somebody else.
  }
}

function decodeFramed(payload: Payload): Entry | undefined {
  const frame = decodeFrame(payload)
  if (frame === undefined) return undefined
  const value = typeof frame.body === 'string' ? JSON.parse(frame.body) : frame.body
  return frame.facts === undefined ? { value } : { value, facts: frame.facts }
}

function stringify(value: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw unencodable((cause as Error).message, cause)
  }
  if (text === undefined) throw unencodable(`a ${typeof value} has no JSON`)
  return text
}

function unencodable(reason: string, cause?: unknown): CacheError {
  return new CacheError('ERR_CACHE_CODEC', `The value cannot be stored as JSON: ${reason}`, {
    operation: 'encode',
    cause,
  })
}
