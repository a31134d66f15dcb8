import { isUtf8 } from 'node:buffer'
import { types } from 'node:util'
import type { Entry } from '../../entry.ts'
import { checkChoice, checkOptionNames } from '../../options/check-options.ts'
import type { Payload } from '../../store.ts'
import type { Codec } from '../codec.ts'
import { decodeFrame, encodeFrame, isFrame } from '../frame.ts'
import { toBytes, toText } from '../payload.ts'
import { unencodable } from './unencodable.ts'

export interface AsIsOptions {
  /** Type of the values that reads return: a `Buffer`, or a string. Writes accept both. @default 'bytes' */
  readonly returns?: 'bytes' | 'text' | undefined
}

/**
 * Stores strings (as UTF-8) and bytes unchanged, so that the payload is exactly the value: for HTML, images, or values
 * that another program reads. The payload does not contain which of the two it was: `returns` determines the result
 * of reads.
 * With `returns: 'text'`, bytes that are not UTF-8 are an error when written and a miss when read.
 *
 * A value that begins with the byte 0x01 is framed, because such payloads are reserved. Counters work, and are read as
 * decimal text.
 *
 * @throws CacheError `ERR_CACHE_CONFIG` for another value of `returns`
 * @example
 * const pages = new Cache(store, { prefix: 'pages:', codec: asIs({ returns: 'text' }) })
 * await pages.set('home', '<h1>Home</h1>') // stored as these 13 bytes
 * console.log(await pages.get<string>('home'))
 */
export function asIs(options: AsIsOptions = {}): Codec {
  checkOptionNames<AsIsOptions>('asIs', options, { returns: true })
  return codecs[checkChoice('asIs: returns', options.returns ?? 'bytes', ['bytes', 'text'])]
}

// One object each: caches that share a store and a codec also share their loads.
const codecs: Readonly<Record<'bytes' | 'text', Codec>> = {
  bytes: {
    encode: (entry) => encode(entry),
    // Copied: the store may keep the payload, and the caller may modify the value.
    decode: (payload) => decode(payload, (bytes) => Buffer.from(bytes)),
    decodeShared: (payload) => decode(payload, toBytes),
  },
  text: {
    encode: (entry) => encode(entry, assertText),
    decode: (payload) => decode(payload, textOf),
  },
}

function encode({ value, facts }: Entry, assert?: (bytes: Uint8Array) => void): Payload {
  const payload = payloadOf(value)
  if (typeof payload !== 'string') assert?.(payload)
  // The body is the value itself. A string as the body would mean JSON.
  const isPlain = facts === undefined && !isFrame(payload)
  return isPlain ? payload : encodeFrame({ facts, body: toBytes(payload) })
}

function payloadOf(value: unknown): Payload {
  if (types.isUint8Array(value)) return toBytes(value)
  if (typeof value !== 'string') {
    const type = value === null ? 'null' : typeof value
    throw unencodable('as it is', `it must be a string or bytes, not of type ${type}`)
  }
  if (value.isWellFormed()) return value
  throw unencodable(
    'as it is',
    'the string contains a lone surrogate, which UTF-8 cannot represent',
  )
}

function assertText(bytes: Uint8Array): void {
  if (isUtf8(bytes)) return
  throw unencodable('as text', 'the bytes are not UTF-8', {
    remedy: 'Use asIs() without the option returns.',
  })
}

/** `read` returns `undefined` if the bytes cannot be a value. */
function decode(
  payload: Payload,
  read: (payload: Payload) => string | Buffer | undefined,
): Entry | undefined {
  if (!isFrame(payload)) return entryOf(read(payload))
  try {
    // Not copied here: `read` does that where it is necessary.
    const frame = decodeFrame(payload, false)
    if (frame?.as !== 'bytes') return undefined // Written by another codec.
    return entryOf(read(frame.body), frame.facts)
  } catch {
    return undefined // A damaged header.
  }
}

function entryOf(value: string | Buffer | undefined, facts?: Entry['facts']): Entry | undefined {
  if (value === undefined) return undefined
  return facts === undefined ? { value } : { value, facts }
}

function textOf(payload: Payload): string | undefined {
  const isText = typeof payload === 'string' || isUtf8(payload)
  return isText ? toText(payload) : undefined
}
