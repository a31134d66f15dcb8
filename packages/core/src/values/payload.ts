import { types } from 'node:util'
import type { Payload } from '../store.ts'

/** Returns the bytes of a payload. Bytes are not copied. */
export function toBytes(payload: Payload): Buffer {
  if (typeof payload === 'string') return Buffer.from(payload)
  if (Buffer.isBuffer(payload)) return payload
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
}

/** Returns the payload as text, decoded as UTF-8. */
export function toText(payload: Payload): string {
  return typeof payload === 'string' ? payload : toBytes(payload).toString()
}

/** Returns the size of a payload, in bytes. */
export function payloadBytes(payload: Payload): number {
  return typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength
}

/**
 * Returns whether the payload has more than `limit` bytes. Most strings need not be measured.
 *
 * @example
 * const { valueBytes } = store.limits
 * if (exceeds('text', valueBytes)) throw valueTooLarge(store.name, 'set', 'key', payloadBytes('text'), valueBytes)
 */
export function exceeds(payload: Payload, limit: number): boolean {
  // A UTF-16 code unit is at most three bytes in UTF-8.
  if (typeof payload === 'string' && payload.length * 3 <= limit) return false
  return payloadBytes(payload) > limit
}

/** Returns whether two payloads have the same bytes. */
export function samePayload(a: Payload, b: Payload): boolean {
  if (typeof a === 'string' && typeof b === 'string') return a === b
  return toBytes(a).equals(toBytes(b))
}

/** Returns whether two items are the same: the same bytes, or the same object. */
export function isSameItem(a: unknown, b: unknown): boolean {
  if (a === b) return true
  return isPayload(a) && isPayload(b) && samePayload(a, b)
}

function isPayload(item: unknown): item is Payload {
  return typeof item === 'string' || types.isUint8Array(item)
}
