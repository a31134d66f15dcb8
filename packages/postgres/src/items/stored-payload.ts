import { isUtf8 } from 'node:buffer'
import type { Payload } from '@stowage/core'
import { toBytes } from '@stowage/core/driver'

/** The two columns of a payload. One of them is `null`. */
export interface StoredPayload {
  readonly text: string | Buffer | null
  readonly bytes: Buffer | null
}

/**
 * Returns the columns of a payload. What is valid UTF-8 without NUL is stored as text, whether it is a string or bytes, so
 * that the same bytes are always stored, and compared, in the same form. The client decodes all replies as text: bytes
 * take twice as much, and have to be parsed.
 */
export function toColumns(payload: Payload): StoredPayload {
  if (typeof payload === 'string') {
    if (!payload.includes('\0')) return { text: payload, bytes: null }
    return { text: null, bytes: Buffer.from(payload) }
  }
  const bytes = toBytes(payload)
  const isText = isUtf8(bytes) && !bytes.includes(0)
  return isText ? { text: bytes, bytes: null } : { text: null, bytes }
}

/** Returns the payload of a row: the text, or the bytes in hexadecimal digits. */
export function fromColumns(text: string | null, hex: string | null): Payload {
  return text ?? Buffer.from(hex ?? '', 'hex')
}
