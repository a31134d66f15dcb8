import type { Payload } from '../store.ts'

/** The bytes of a payload, as a view where they are bytes already. */
export function toBytes(payload: Payload): Buffer {
  if (typeof payload === 'string') return Buffer.from(payload)
  if (Buffer.isBuffer(payload)) return payload
  return Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
}

/** The payload read as UTF-8 text. */
export function toText(payload: Payload): string {
  return typeof payload === 'string' ? payload : toBytes(payload).toString()
}

/** How many bytes the payload has. */
export function payloadBytes(payload: Payload): number {
  return typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength
}

/** Whether the payload has more than `limit` bytes; most strings are decided without a count. */
export function exceeds(payload: Payload, limit: number): boolean {
  // One UTF-16 unit is at most three bytes of UTF-8.
  if (typeof payload === 'string' && payload.length * 3 <= limit) return false
  return payloadBytes(payload) > limit
}

/** Whether two payloads are the same bytes. */
export function samePayload(a: Payload, b: Payload): boolean {
  if (typeof a === 'string' && typeof b === 'string') return a === b
  return toBytes(a).equals(toBytes(b))
}
