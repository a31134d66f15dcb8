import type { Entry } from '../../entry.ts'
import type { Payload } from '../../store.ts'
import type { Codec } from '../codec.ts'

/**
 * An item of bytes, with what was decoded from it: reads of a near cache return it instead of the item. It is an entry itself
 * once its value is decoded and has no facts.
 */
export class DecodedItem implements Entry {
  /** The codec that decodes it. Another one must not use `entry`. */
  readonly codec: Codec | undefined
  /** The size of the payload in bytes. */
  readonly size: number
  /** `undefined` if it is not needed any more, because `entry` is returned instead. */
  payload: Payload | undefined
  entry: Entry | undefined
  /** That of `entry`, if it has no facts. */
  value: unknown
  readonly facts = undefined
  /** The entry with bytes that are part of the payload, for callers that do not modify them. */
  shared: Entry | undefined
  /** Until when the entry is fresh, in the time of the backend, once that is known. */
  freshUntil: number | undefined

  constructor(payload: Payload, size: number, codec: Codec | undefined) {
    // The bytes may be part of a large buffer, which they would keep in memory.
    this.payload = typeof payload === 'string' ? payload : Uint8Array.from(payload)
    this.size = size
    this.codec = codec
  }
}

/** Returns the item as the store returned it, where that is still known. */
export function storedItem(item: unknown): unknown {
  return item instanceof DecodedItem ? (item.payload ?? item) : item
}
