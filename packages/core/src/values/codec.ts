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
