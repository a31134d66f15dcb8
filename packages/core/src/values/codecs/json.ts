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
 * `0`, nested `undefined` is omitted. Functions, symbols, cycles and BigInt are errors, and so is a Map, a Set, an error or
 * a promise that is not part of another value.
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
    const path = pathOfBigInt(value)
    const place = path === undefined || path === '' ? '' : ` (${path.replace(/^\./, '')})`
    throw unencodable('as JSON', `${(cause as Error).message}${place}`, cause)
  }
  if (text === undefined) {
    throw unencodable('as JSON', `a ${typeof value} has no JSON representation`)
  }
  // An object without properties of its own.
  if (text === '{}') checkContents(value)
  return text
}

/** @throws CacheError for values that JSON.stringify always converts to `{}` */
function checkContents(value: unknown): void {
  if (value instanceof Promise) throw unencodable('as JSON', 'it is a promise. Await it first.')
  const type = [Map, Set, Error, RegExp].find((each) => value instanceof each)
  if (type === undefined) return
  const article = type === Error ? 'an' : 'a'
  throw unencodable(
    'as JSON',
    `${article} ${type.name} has no JSON representation. Use structured().`,
  )
}

/** The path of the first BigInt, for the error; that of a cycle contains its path. `undefined` if there is none. */
function pathOfBigInt(value: unknown, seen = new Set<unknown>()): string | undefined {
  if (typeof value === 'bigint') return ''
  if (typeof value !== 'object' || value === null || seen.has(value)) return undefined
  seen.add(value)
  for (const [name, each] of Object.entries(value)) {
    const path = pathOfBigInt(each, seen)
    if (path !== undefined) return `${Array.isArray(value) ? `[${name}]` : `.${name}`}${path}`
  }
  return undefined
}
