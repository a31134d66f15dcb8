import { types } from 'node:util'
import { ExtensionCodec, encode as pack, decode as unpack } from '@msgpack/msgpack'
import { type Codec, json, type Payload } from '@stowage/core'
import type { Entry } from '@stowage/core/driver'
import { decodeFrame, encodeFrame } from '@stowage/core/driver'
import { assertLengths } from './assert-lengths.ts'
import { assertRepresentable, maxDepth } from './assert-representable.ts'

/** The format of the body in the frame. */
const format = 'msgpack'

/**
 * Stores values in the MessagePack format, which is smaller than JSON for numbers and for bytes within a value. The
 * types are those of the format: `Date`, `NaN`, `±Infinity` and bytes at any depth are kept; as with `json()`, nested
 * `undefined` is omitted from objects and `null` in arrays, and `-0` is `0`. All other types are errors.
 *
 * Integers are stored as decimal text, so that counters work, and bytes are stored as by `json()`. The entries of
 * `json()` are read. For `json()`, the entries of this codec are a miss, except for those two.
 *
 * @example
 * const points = new Cache(store, { prefix: 'points:', codec: msgpack() })
 * await points.set('1', { x: 0.1, y: 0.2, at: new Date() })
 * console.log(await points.get('1'))
 */
export function msgpack(): Codec {
  return codec
}

// One object: caches that share a store and a codec also share their loads.
const codec: Codec = { encode, decode }

function encode(entry: Entry, key: string): Payload {
  const { value, facts } = entry
  if (types.isUint8Array(value) || Number.isSafeInteger(value)) return json().encode(entry, key)
  assertRepresentable(value)
  // The library counts a scalar as a level.
  const options = { ignoreUndefined: true, maxDepth: maxDepth + 1, extensionCodec: timestampsOnly }
  return encodeFrame({ facts, as: format, body: pack(value, options) })
}

function decode(payload: Payload, key: string): Entry | undefined {
  try {
    const frame = decodeFrame(payload)
    if (frame?.as !== format) return json().decode(payload, key)
    const value = unpackBounded(frame.body as Buffer)
    return frame.facts === undefined ? { value } : { value, facts: frame.facts }
  } catch {
    return undefined
  }
}

function unpackBounded(body: Buffer): unknown {
  assertLengths(body)
  return unpack(body, { extensionCodec: timestampsOnly })
}

const timestamp = -1
const { defaultCodec } = ExtensionCodec
/**
 * The library would return an object of its own for an unknown extension, and would store a date of another realm, as that of
 * `node:vm`, as an empty map.
 */
const timestampsOnly: typeof defaultCodec = {
  tryToEncode: (object, context) =>
    types.isDate(object) ? defaultCodec.tryToEncode(new Date(object.getTime()), context) : null,
  decode: (data, type, context) => {
    if (type !== timestamp) throw new Error('Unknown extension')
    return defaultCodec.decode(data, type, context)
  },
}
