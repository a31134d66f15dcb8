import type { Entry } from '../../entry.ts'
import type { Payload } from '../../store.ts'
import type { Codec } from '../codec.ts'
import { decodeFrame, encodeFrame, isFrame } from '../frame.ts'
import { JsonText } from '../json-text.ts'
import { toText } from '../payload.ts'
import { unencodable } from './unencodable.ts'

/**
 * The default codec. Values are stored as plain JSON text: readable in `redis-cli`, usable from other languages, and
 * numbers are counters. Bytes (`Buffer`, any `Uint8Array`) are stored unchanged and returned as a `Buffer`. All other
 * values are converted as by `JSON.stringify`: a `Date` becomes its ISO string, `NaN` becomes `null`, `-0` becomes
 * `0`, nested `undefined` is omitted. Functions, symbols, cycles and BigInt are errors.
 *
 * @example
 * const codec = json()
 * const payload = codec.encode({ value: { name: 'Ada' } }, 'user:1') // '{"name":"Ada"}'
 * console.log(codec.decode(payload, 'user:1')?.value)
 */
export function json(): Codec {
  return codec
}

// One object: caches that share a store and a codec also share their loads.
const codec: Codec = {
  plainJson: true,
  encode,
  // Copied: the store may keep the payload, and the caller may modify the value.
  decode: (payload) => decode(payload, true),
  decodeShared: (payload) => decode(payload, false),
}

function encode({ value, facts }: Entry): Payload {
  if (value instanceof Uint8Array) return encodeFrame({ facts, body: value })
  const text = JsonText.is(value) ? value.text : stringify(value)
  return facts === undefined ? text : encodeFrame({ facts, body: text })
}

function decode(payload: Payload, copies: boolean): Entry | undefined {
  try {
    if (isFrame(payload)) return decodeFramed(payload, copies)
    return { value: JSON.parse(toText(payload)) }
  } catch {
    return undefined // Not JSON: corrupt, or written by another program.
  }
}

function decodeFramed(payload: Payload, copies: boolean): Entry | undefined {
  const frame = decodeFrame(payload, copies)
  if (frame === undefined) return undefined
  const { facts, as, body } = frame
  if (as !== undefined && as !== 'bytes') return undefined // Written by another codec.
  const value = as === 'bytes' ? body : JSON.parse(toText(body))
  return facts === undefined ? { value } : { value, facts }
}

function stringify(value: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw unencodable('as JSON', (cause as Error).message, cause)
  }
  if (text === undefined) {
    throw unencodable('as JSON', `a ${typeof value} has no JSON representation`)
  }
  return text
}
