import { types } from 'node:util'
import type { Entry } from '../../entry.ts'
import type { Payload } from '../../store.ts'
import type { Codec } from '../codec.ts'
import { decodeFrame, encodeFrame, frameKind, frameKinds } from '../frame.ts'
import { toText } from '../payload.ts'
import { json } from './json.ts'
import { fromTree, isExactInJson, toTree } from './structured-tree.ts'
import { unencodable } from './unencodable.ts'

/** The format of the body in the frame. */
const format = 'structured'

/**
 * Like `json()`, but reads return what was written: `Date`, `Map`, `Set`, `BigInt`, `undefined` within a value, bytes
 * at any depth, `NaN`, `±Infinity` and `-0` keep their types. A value that JSON represents exactly is stored as plain
 * JSON text, so that numbers are counters and caches with `json()` read it; any other value is a miss for those.
 *
 * Functions, symbols, instances of classes, cycles, more than 500 levels and a BigInt of more than 10,000 digits are errors,
 * never converted silently. An object that occurs twice is read as two copies. Payloads cannot select a class or set a
 * prototype: a key `__proto__` is a key like any other.
 *
 * @example
 * const codec = structured()
 * const orders = new Cache(store, { prefix: 'orders:', codec })
 * await orders.set('1', { at: new Date(), lines: new Map([['lamp', 2n]]) })
 * console.log(await orders.get('1'))
 */
export function structured(): Codec {
  return codec
}

// One object: caches that share a store and a codec also share their loads.
const codec: Codec = { encode, decode }

function encode(entry: Entry, key: string): Payload {
  const { value, facts } = entry
  if (value === undefined) throw unencodable('structured', 'undefined means a miss')
  if (types.isUint8Array(value) || isExactInJson(value)) return json().encode(entry, key)
  return encodeFrame({ facts, as: format, body: JSON.stringify(toTree(value)) })
}

function decode(payload: Payload, key: string): Entry | undefined {
  if (frameKind(payload) !== frameKinds.entry) return json().decode(payload, key)
  try {
    const frame = decodeFrame(payload)
    if (frame?.as !== format) return json().decode(payload, key)
    const value = fromTree(JSON.parse(toText(frame.body)))
    if (value === undefined) return undefined // Never written.
    return frame.facts === undefined ? { value } : { value, facts: frame.facts }
  } catch {
    return undefined
  }
}
