import { createHash } from 'node:crypto'

/** Characters that a key of the text protocol must not contain. */
const notGraphic = /[\0- \x7f]/
/** A key has at most 250 bytes on the wire, and base64 turns three bytes into four. */
const maxEncodedBytes = 186
/** A UTF-16 code unit takes at most three bytes in UTF-8. */
const maxEncodedLength = maxEncodedBytes / 3

/** Whether a key of the text protocol has to be encoded in base64. */
export function needsEncoding(key: string): boolean {
  return notGraphic.test(key)
}

/** Whether `itemName` may differ from the key. */
export function mayNeedDigest(key: string): boolean {
  return key.length > maxEncodedLength
}

/**
 * The name under which the server stores the key, in both protocols: the key itself, or a digest of a key that is too
 * long for the text protocol in base64. The first byte of a digest, 0, cannot be that of a key sent as text.
 */
export function itemName(key: string): string | Buffer {
  if (!mayNeedDigest(key) || !needsEncoding(key)) return key
  if (Buffer.byteLength(key) <= maxEncodedBytes) return key
  return Buffer.concat([Buffer.of(0), createHash('sha256').update(key).digest()])
}
