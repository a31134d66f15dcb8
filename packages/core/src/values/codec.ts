import type { Entry } from '../entry.ts'
import type { Payload } from '../store.ts'

/**
 * Converts entries to payloads and back. Synchronous and stateless.
 *
 * A payload that begins with the bytes 0x01 0x02 is reserved for the cache, which reads it as a miss before it calls the
 * codec. `encode` must not return such a payload.
 */
export interface Codec {
  /**
   * Whether `decode` accepts the plain decimal text of a counter. If `false`, `increment` is rejected with
   * `ERR_CACHE_UNSUPPORTED`. @default true
   */
  readonly counters?: boolean | undefined
  /**
   * Whether the payload of a value is its JSON text, unless it is bytes or has facts. Then `encode` also has to accept a
   * `JsonText`, and to return its text. @default false
   */
  readonly plainJson?: boolean | undefined
  /**
   * `key` is the full name of the entry: prefix, namespaces and key, without the id of a generation. It is the same in
   * every process, so that a codec can bind a payload to it.
   *
   * @throws CacheError `ERR_CACHE_CODEC` if the codec cannot represent the value
   */
  encode(entry: Entry, key: string): Payload
  /** Returns the entry, or `undefined` for a corrupt or foreign payload, or one of a newer format. Never throws. */
  decode(payload: Payload, key: string): Entry | undefined
  /**
   * The same, but bytes in the value may be part of the payload, which the caller does not modify. @default `decode`
   */
  decodeShared?(payload: Payload, key: string): Entry | undefined
}

/** Recognises instances of another copy of this package. */
const brand = Symbol.for('stowage.JsonText')

/**
 * A value as its JSON text, for a caller that has the text already. A codec that stores JSON takes it as it is; any other
 * one gets the parsed value. It is read back as the value, not as a `JsonText`.
 *
 * @example
 * await cache.set('user:1', new JsonText('{"name":"Ada"}'))
 * console.log(await cache.get('user:1')) // { name: 'Ada' }
 */
export class JsonText {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  /** Whether a value is a `JsonText`. */
  static is(value: unknown): value is JsonText {
    return typeof value === 'object' && value !== null && brand in value
  }

  /** Returns the value. */
  parse(): unknown {
    return JSON.parse(this.text)
  }

  /** The same, for `JSON.stringify`. */
  toJSON(): unknown {
    return this.parse()
  }
}

Object.defineProperty(JsonText.prototype, brand, { value: true })
