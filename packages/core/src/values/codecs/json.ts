import { types } from 'node:util'
import type { Entry } from '../../entry.ts'
import type { CacheError } from '../../errors.ts'
import type { Payload } from '../../store.ts'
import { type Codec, JsonText } from '../codec.ts'
import { decodeFrame, encodeFrame, isFrame } from '../frame.ts'
import { toText } from '../payload.ts'
import { unencodable } from './unencodable.ts'

/**
 * The default codec. Values are stored as plain JSON text: readable in `redis-cli`, usable from other languages, and
 * numbers are counters. Bytes (`Buffer`, any `Uint8Array`) are stored unchanged and returned as a `Buffer`. All other
 * values are converted as by `JSON.stringify`: a `Date` becomes its ISO string, `NaN` becomes `null`, `-0` becomes
 * `0`; `undefined`, functions and symbols within a value are omitted. As the value itself, those are errors. So are cycles,
 * BigInt, and what JSON would silently replace by `{}`, also within a value: a Map, a Set, an error, a regular expression, a
 * promise.
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
  if (types.isUint8Array(value)) return encodeFrame({ facts, body: value })
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
    throw notStringified(value, cause as Error)
  }
  if (text === undefined) {
    throw unencodable('as JSON', `a ${typeof value} has no JSON representation`, {
      remedy: 'Store plain data.',
    })
  }
  // The value is, or contains, an object without properties of its own.
  if (text.includes('{}')) checkContents(value)
  return text
}

function notStringified(value: unknown, cause: Error): CacheError {
  const isBigInt = (each: unknown) => typeof each === 'bigint'
  if (!cause.message.includes('BigInt')) return unencodable('as JSON', cause.message, { cause })
  return unencodable('as JSON', 'a BigInt has no JSON representation', {
    ...{ culprit: { value, isAt: isBigInt }, cause, remedy: 'Use structured().' },
  })
}

/** By the name of their class. Those of another realm, such as that of a test in Jest, are instances of another class. */
const emptied: readonly (readonly [string, (value: unknown) => boolean])[] = [
  ['Map', types.isMap],
  ['Set', types.isSet],
  ['Error', types.isNativeError],
  ['RegExp', types.isRegExp],
  ['Promise', types.isPromise],
  ['WeakMap', types.isWeakMap],
  ['WeakSet', types.isWeakSet],
]
/** A deeper member is converted without an error: the call stack is limited. */
const maxDepth = 500

/** @throws CacheError for a member of which `JSON.stringify` would store nothing but `{}` */
function checkContents(value: unknown): void {
  const found = isObject(value) ? findEmptied(value) : undefined
  if (found === undefined) return
  const name = emptied.find(([, isOne]) => isOne(found))?.[0] as string
  const article = name === 'Error' ? 'an' : 'a'
  throw unencodable('as JSON', `${article} ${name} has no JSON representation`, {
    culprit: { value, isAt: (each) => each === found },
    remedy: remedyOf(name),
  })
}

function remedyOf(name: string): string {
  if (name === 'Promise') return 'Await it first.'
  return name === 'Map' || name === 'Set' ? 'Use structured().' : 'Store plain data.'
}

/** Finds such a member. Written for speed: it visits all members of a value that contains an empty object. */
function findEmptied(value: object, depth = 0): object | undefined {
  if (depth > maxDepth) return undefined
  if (Array.isArray(value)) {
    for (const member of value) {
      const found = isObject(member) ? findEmptied(member, depth + 1) : undefined
      if (found !== undefined) return found
    }
    return undefined
  }
  const members = value as Readonly<Record<string, unknown>>
  if (typeof members.toJSON === 'function') return undefined
  if (Object.getPrototypeOf(value) !== Object.prototype && isEmptied(value)) return value
  for (const name in members) {
    const member = members[name]
    const found = isObject(member) ? findEmptied(member, depth + 1) : undefined
    if (found !== undefined) return found
  }
  return undefined
}

function isEmptied(value: object): boolean {
  return emptied.some(([, isOne]) => isOne(value)) && Object.keys(value).length === 0
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
